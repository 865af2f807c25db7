#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| atrest_agent::fuzzing::run("observer_request", bytes));
