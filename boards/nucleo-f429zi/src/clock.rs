//! Clocks: 168 MHz for the core, and two PLLs for the rates of sound.
//!
//! The SAI divides its clock by 256 for each frame, and before that by 1 or by
//! an even divider of its own.

use embassy_stm32::Config;
use embassy_stm32::pac::RCC;
use embassy_stm32::pac::rcc::vals::{Plli2sdivq, Pllsaidivq, Saiasrc};
use embassy_stm32::rcc::{
    APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllQDiv, PllSource, Sysclk,
};
use embassy_stm32::sai::MasterClockDivider;
use embassy_stm32::time::Hertz;

/// The bit clock comes of the master clock, which no pin shows.
pub const WITHOUT_MASTER_CLOCK: bool = false;

/// The ST-LINK's clock, by a crystal.
const HSE_HZ: u64 = 8_000_000;
/// One divider for all PLLs.
const PRE: u8 = 5;
const MASTER_CLOCKS_PER_FRAME: u64 = 256;
/// What a rate may be wrong by. The play-out follows twice as much, which
/// leaves the rest to the crystals.
const MAX_ERROR_PPM: u64 = 100;

/// Of a PLL: HSE / `PRE` x `mul` / `div_q` / `div_sai`.
#[derive(Clone, Copy)]
struct Settings {
    mul: u16,
    div_q: u8,
    div_sai: u8,
}

/// 8 MHz / 5 x 192 / 5 / 5 = 12.288 MHz, in PLLSAI.
const FOR_48_KHZ: Settings = Settings { mul: 192, div_q: 5, div_sai: 5 };
/// 8 MHz / 5 x 254 / 12 / 3 = 11.28889 MHz, in PLLI2S.
const FOR_44_1_KHZ: Settings = Settings { mul: 254, div_q: 12, div_sai: 3 };

const _: () = assert!(FOR_48_KHZ.error_ppm(48_000) == 0);
const _: () = assert!(FOR_44_1_KHZ.error_ppm(44_100) <= 63);
const _: () = assert!(FOR_48_KHZ.error_ppm(48_000) <= MAX_ERROR_PPM);
const _: () = assert!(FOR_44_1_KHZ.error_ppm(44_100) <= MAX_ERROR_PPM);

impl Settings {
    /// How far the frames that come out, undivided, are from `rate`.
    const fn error_ppm(self, rate: u64) -> u64 {
        let div = PRE as u64 * self.div_q as u64 * self.div_sai as u64 * MASTER_CLOCKS_PER_FRAME;
        let got = HSE_HZ * 1000 * self.mul as u64 / div;
        got.abs_diff(rate * 1000) * 1000 / rate
    }

    fn pll(self) -> Pll {
        Pll {
            prediv: PllPreDiv::from(PRE),
            mul: PllMul::from(self.mul),
            divp: None,
            divq: Some(PllQDiv::from(self.div_q)),
            divr: None,
        }
    }
}

/// For the start.
pub fn config() -> Config {
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse { freq: Hertz(HSE_HZ as u32), mode: HseMode::Bypass });
    rcc.pll_src = PllSource::HSE;
    // 8 MHz / 5 x 210 / 2 for the core, / 7 for the random numbers.
    rcc.pll = Some(Pll {
        prediv: PllPreDiv::from(PRE),
        mul: PllMul::MUL210,
        divp: Some(PllPDiv::DIV2),
        divq: Some(PllQDiv::DIV7),
        divr: None,
    });
    rcc.plli2s = Some(FOR_44_1_KHZ.pll());
    rcc.pllsai = Some(FOR_48_KHZ.pll());
    rcc.sys = Sysclk::PLL1_P;
    rcc.apb1_pre = APBPrescaler::DIV4;
    rcc.apb2_pre = APBPrescaler::DIV2;
    config
}

/// What the SAI has to divide by for this rate.
pub fn divider(rate: u32) -> Option<MasterClockDivider> {
    let undivided = if is_of_44_1_khz(rate) { 44_100 } else { 48_000 };
    let divider = u8::try_from(undivided / rate.max(1)).ok()?;
    let fits = matches!(divider, 1 | 2 | 4 | 6) && u32::from(divider) * rate == undivided;
    // 0 divides by 1, n by 2n.
    fits.then(|| MasterClockDivider::from(divider / 2))
}

/// Gives the SAI, which must be off, the PLL for this rate. Both PLLs have to
/// stand still meanwhile.
pub fn select(rate: u32) {
    let pll = if is_of_44_1_khz(rate) { Saiasrc::PLLI2S } else { Saiasrc::PLLSAI };
    run_plls(false);
    RCC.dckcfgr().modify(|w| {
        w.set_plli2sdivq(Plli2sdivq::from(FOR_44_1_KHZ.div_sai - 1));
        w.set_pllsaidivq(Pllsaidivq::from(FOR_48_KHZ.div_sai - 1));
        w.set_sai1asrc(pll);
    });
    run_plls(true);
}

fn run_plls(run: bool) {
    RCC.cr().modify(|w| {
        w.set_plli2son(run);
        w.set_pllsaion(run);
    });
    // They take 0.2 ms.
    while RCC.cr().read().plli2srdy() != run || RCC.cr().read().pllsairdy() != run {}
}

fn is_of_44_1_khz(rate: u32) -> bool {
    rate.is_multiple_of(11_025)
}
