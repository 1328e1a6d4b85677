//! Chance that comes again from its seed.

/// xorshift64 (G. Marsaglia, "Xorshift RNGs", 2003). A seed of zero gives nothing but zeros.
pub struct Dice(pub u64);

impl Dice {
    /// One of `0..sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
