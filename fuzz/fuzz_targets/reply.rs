#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| waxseal_fuzz::reply::holds(octets));
