//! Random numbers that a seed repeats.

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
