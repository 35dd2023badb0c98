//! The natural logarithm of `StrictMath.log`, to the bit: Java defines it as the result of fdlibm 5.3,
//! and the last bit of a gaussian decides payload sizes. Neither the standard library nor the `libm`
//! crate (which follows a newer, more exact algorithm) gives the same bits. The algorithm and its
//! coefficients are those of fdlibm's `e_log.c`, whose notice says: "Copyright (C) 1993 by Sun
//! Microsystems, Inc. All rights reserved. Permission to use, copy, modify, and distribute this
//! software is freely granted, provided that this notice is preserved." Zero, negative, subnormal and
//! non-finite arguments are left out: the polar method has none.

/// The high and the low part of ln 2.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
/// The coefficients of s², s⁴ … s¹⁴ in the approximation of ln((1+s)/(1−s)).
const L1: f64 = f64::from_bits(0x3fe5_5555_5555_5593);
const L2: f64 = f64::from_bits(0x3fd9_9999_9997_fa04);
const L3: f64 = f64::from_bits(0x3fd2_4924_9422_9359);
const L4: f64 = f64::from_bits(0x3fcc_71c5_1d8e_78af);
const L5: f64 = f64::from_bits(0x3fc7_4664_96cb_03de);
const L6: f64 = f64::from_bits(0x3fc3_9a09_d078_c69f);
const L7: f64 = f64::from_bits(0x3fc2_f112_df3e_5244);

/// ln(x) for a positive, normal, finite `x`; anything else gives a meaningless number.
pub(super) fn strict_log(x: f64) -> f64 {
    let (k, fraction, high) = reduced(x);
    let f = fraction - 1.0;
    if (0x000f_ffff & (2 + high)) < 3 {
        return near_power_of_two(k, f);
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (L2 + w * (L4 + w * L6));
    let odd = z * (L1 + w * (L3 + w * (L5 + w * L7)));
    let r = odd + even;
    let in_the_middle = ((high - 0x6147a) | (0x6b851 - high)) > 0;
    let half_square = 0.5 * f * f;
    match (in_the_middle, k == 0.0) {
        (true, true) => f - (half_square - s * (half_square + r)),
        (true, false) => k * LN_2_HIGH - ((half_square - (s * (half_square + r) + k * LN_2_LOW)) - f),
        (false, true) => f - s * (f - r),
        (false, false) => k * LN_2_HIGH - ((s * (f - r) - k * LN_2_LOW) - f),
    }
}

/// `x` = 2^k · fraction with a fraction from √2/2 to √2, and the upper 20 bits of x's own mantissa.
fn reduced(x: f64) -> (f64, f64, i32) {
    let bits = x.to_bits();
    let high_word = (bits >> 32) as i32;
    let high = high_word & 0x000f_ffff;
    let halved = (high + 0x95f64) & 0x0010_0000;
    let k = (high_word >> 20) - 1023 + (halved >> 20);
    let fraction_word = (high | (halved ^ 0x3ff0_0000)) as u32;
    let fraction = f64::from_bits(u64::from(fraction_word) << 32 | (bits & 0xffff_ffff));
    (f64::from(k), fraction, high)
}

/// The case |f| < 2⁻²⁰.
fn near_power_of_two(k: f64, f: f64) -> f64 {
    let r = f * f * (0.5 - 1.0 / 3.0 * f);
    match (f == 0.0, k == 0.0) {
        (true, true) => 0.0,
        (true, false) => k * LN_2_HIGH + k * LN_2_LOW,
        (false, true) => f - r,
        (false, false) => k * LN_2_HIGH - ((r - k * LN_2_LOW) - f),
    }
}
