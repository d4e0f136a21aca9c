//! Clocks: 400 MHz for the core, and two PLLs for the rates of sound.
//!
//! The SAI divides its clock by 64 bits of a frame and by a divider of its
//! own: 192 kHz / 4 is 48 kHz, 176.4 kHz / 4 is 44.1 kHz.

use embassy_stm32::Config;
use embassy_stm32::pac::RCC;
use embassy_stm32::pac::rcc::vals::Saisel;
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk,
    VoltageScale,
};
use embassy_stm32::sai::MasterClockDivider;
use embassy_stm32::time::Hertz;

/// The bit clock comes of the SAI's clock itself.
pub const WITHOUT_MASTER_CLOCK: bool = true;

/// The ST-LINK's clock, by a crystal.
const HSE_HZ: u64 = 8_000_000;
const BITS_PER_FRAME: u64 = 64;
/// What a rate may be wrong by. The play-out follows twice as much, which
/// leaves the rest to the crystals.
const MAX_ERROR_PPM: u64 = 100;

/// Of a PLL: HSE / `pre` x (`mul` + `frac` / 8192) / `div`.
#[derive(Clone, Copy)]
struct Settings {
    pre: u8,
    mul: u16,
    frac: u16,
    div: u8,
}

/// 8 MHz / 5 x 192 / 25 = 12.288 MHz, in PLL3.
const FOR_48_KHZ: Settings = Settings { pre: 5, mul: 192, frac: 0, div: 25 };
/// 8 MHz / 5 x 127.00806 / 18 = 11.28961 MHz, in PLL2.
const FOR_44_1_KHZ: Settings = Settings { pre: 5, mul: 127, frac: 66, div: 18 };

const _: () = assert!(FOR_48_KHZ.error_ppm(192_000) == 0);
const _: () = assert!(FOR_44_1_KHZ.error_ppm(176_400) < 1);
const _: () = assert!(FOR_48_KHZ.error_ppm(192_000) <= MAX_ERROR_PPM);
const _: () = assert!(FOR_44_1_KHZ.error_ppm(176_400) <= MAX_ERROR_PPM);

impl Settings {
    /// How far the frames that come out, undivided, are from `rate`.
    const fn error_ppm(self, rate: u64) -> u64 {
        let mul = self.mul as u64 * 8192 + self.frac as u64;
        let got = HSE_HZ * 1000 * mul / (self.pre as u64 * 8192 * self.div as u64 * BITS_PER_FRAME);
        got.abs_diff(rate * 1000) * 1000 / rate
    }

    fn pll(self) -> Pll {
        Pll {
            source: PllSource::HSE,
            prediv: PllPreDiv::from(self.pre),
            mul: PllMul::from(self.mul - 1),
            fracn: (self.frac > 0).then_some(self.frac),
            divp: Some(PllDiv::from(self.div - 1)),
            divq: None,
            divr: None,
        }
    }
}

/// For the start.
pub fn config() -> Config {
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse { freq: Hertz(HSE_HZ as u32), mode: HseMode::Bypass });
    rcc.pll1 = Some(Pll {
        source: PllSource::HSE,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL400,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.pll2 = Some(FOR_44_1_KHZ.pll());
    rcc.pll3 = Some(FOR_48_KHZ.pll());
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.apb3_pre = APBPrescaler::DIV2;
    rcc.apb4_pre = APBPrescaler::DIV2;
    rcc.voltage_scale = VoltageScale::Scale1;
    rcc.mux.sai1sel = Saisel::PLL3_P;
    config
}

/// What the SAI has to divide by for this rate.
pub fn divider(rate: u32) -> Option<MasterClockDivider> {
    let undivided = if is_of_44_1_khz(rate) { 176_400 } else { 192_000 };
    let divider = u8::try_from(undivided / rate.max(1)).ok()?;
    let fits = (1..=24).contains(&divider) && u32::from(divider) * rate == undivided;
    fits.then(|| MasterClockDivider::from(divider))
}

/// Gives the SAI, which must be off, the PLL for this rate.
pub fn select(rate: u32) {
    let pll = if is_of_44_1_khz(rate) { Saisel::PLL2_P } else { Saisel::PLL3_P };
    RCC.d2ccip1r().modify(|w| w.set_sai1sel(pll));
}

fn is_of_44_1_khz(rate: u32) -> bool {
    rate.is_multiple_of(11_025)
}
