//! The host of the emulation, by semihosting: arguments, log lines, files and
//! the end.

use core::fmt::{self, Write};

use cortex_m_semihosting::{debug, nr, syscall, syscall1};

/// Writes log lines to the host's standard output, which is the file `:tt`.
pub struct Logger;

static LOGGER: Logger = Logger;

/// Longest line of arguments.
const ARGUMENTS_BYTES: usize = 256;

/// Room for [`arguments`].
pub type ArgumentsBuffer = [u8; ARGUMENTS_BYTES];

/// Lets `log` write to the host.
pub fn start_log() {
    // SAFETY: nothing runs yet that could use the log.
    let _ = unsafe { log::set_logger_racy(&LOGGER) };
    // SAFETY: as above.
    unsafe { log::set_max_level_racy(log::LevelFilter::Info) };
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record<'_>) {
        // What the network stack says is for its developers.
        if self.enabled(record.metadata()) && !record.target().starts_with("embassy") {
            let mut line = Line::new();
            let ms = embassy_time::Instant::now().as_millis();
            let _ = write!(line, "{}.{:03} ", ms / 1000, ms % 1000);
            if record.level() < log::Level::Info {
                let _ = write!(line, "warning: ");
            }
            let _ = writeln!(line, "{}", record.args());
            line.flush();
        }
    }

    fn flush(&self) {}
}

/// A line that goes out in one piece.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Line {
    fn new() -> Line {
        Line { bytes: [0; 256], len: 0 }
    }

    fn flush(&mut self) {
        if let Some(mut console) = File::create(":tt") {
            console.write(&self.bytes[..self.len]);
            console.close();
        }
        self.len = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let len = text.len().min(room);
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        // A line that is cut is still a line.
        if len < text.len() {
            let last = self.bytes.len() - 1;
            self.bytes[last] = b'\n';
        }
        Ok(())
    }
}

/// What stands behind the image's name on the command line.
pub fn arguments(buffer: &mut ArgumentsBuffer) -> &str {
    let mut block = [buffer.as_mut_ptr() as usize, ARGUMENTS_BYTES];
    // SAFETY: place and length of a buffer; the host writes to both.
    let failed = unsafe { syscall1(nr::GET_CMDLINE, block.as_mut_ptr() as usize) };
    let len = block[1];
    if failed != 0 {
        return "";
    }
    core::str::from_utf8(buffer.get(..len).unwrap_or(&[])).unwrap_or("")
}

/// An empty one.
pub const fn arguments_buffer() -> ArgumentsBuffer {
    [0; ARGUMENTS_BYTES]
}

/// A file on the host, opened for writing.
pub struct File(usize);

impl File {
    /// Makes the file; `None` if the host can't.
    pub fn create(path: &str) -> Option<File> {
        let mut name = [0_u8; 256];
        name.get_mut(..path.len()).filter(|_| path.len() < 256)?.copy_from_slice(path.as_bytes());
        // SAFETY: a path that ends with a zero, the mode, and its length.
        let handle = unsafe {
            syscall(nr::OPEN, &[name.as_ptr() as usize, nr::open::W_TRUNC_BINARY, path.len()])
        };
        (handle != usize::MAX).then_some(File(handle))
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) {
        // SAFETY: handle, place and length of bytes that the host reads.
        unsafe { syscall(nr::WRITE, &[self.0, bytes.as_ptr() as usize, bytes.len()]) };
    }

    /// Gives the handle back.
    pub fn close(self) {
        // SAFETY: a handle that is not used again.
        unsafe { syscall(nr::CLOSE, &[self.0]) };
    }
}

/// Bytes of the stack that were ever used: at reset all of it was painted.
pub fn stack_used() -> usize {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let mut at = end;
    // SAFETY: the linker says that the stack lies there; it is only read.
    while at < start && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    start.addr() - at.addr()
}

/// What the start-up code paints the stack with.
const PAINT: u32 = 0xcccc_cccc;

/// Ends the emulation.
pub fn exit(well: bool) -> ! {
    loop {
        debug::exit(if well { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    }
}

#[panic_handler]
fn panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    let mut line = Line::new();
    let _ = writeln!(line, "{panic}");
    line.flush();
    exit(false)
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    let mut line = Line::new();
    let _ = writeln!(line, "hard fault at {:08x}", frame.pc());
    line.flush();
    exit(false)
}
