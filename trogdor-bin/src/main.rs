//! The `trogdor` program. Everything is in the library, so that tests can reach it.

/// For the C code of the Kafka client too, which makes and frees several small blocks per record, often on different
/// threads: a RoundTrip takes a fifth less CPU time than with the allocator of glibc, for 1.5 MB more memory when idle
/// and 0.1 MB more per connection of SustainedConnection. Its settings stand in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    trogdor_bin::main()
}
