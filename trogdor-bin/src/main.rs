//! The `trogdor` program. Everything is in the library, so that tests can reach it.

fn main() -> std::process::ExitCode {
    trogdor_bin::main()
}
