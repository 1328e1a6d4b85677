//! Random numbers that a seed repeats.

/// With the seed that `CONDUCTOR_SEED` names, or with one of its own; says which.
pub fn seeded() -> Prng {
    let named = std::env::var("CONDUCTOR_SEED").ok().and_then(|s| s.parse().ok());
    let seed = named.unwrap_or_else(|| getrandom::u64().expect("randomness")) | 1;
    println!("CONDUCTOR_SEED={seed}");
    Prng(seed)
}

/// xorshift64 (G. Marsaglia, "Xorshift RNGs", 2003). A seed of zero yields only zeros.
pub struct Prng(pub u64);

impl Prng {
    /// A number in `0..limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// A random element of a slice, which must not be empty.
    pub fn any<T: Clone>(&mut self, from: &[T]) -> T {
        let index = usize::try_from(self.below(from.len() as u64)).expect("an index");
        from[index].clone()
    }
}
