#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hilum_fuzz::seccomp(input));
