//! The example dial plan decides its cases.

use intertrunk_sdk::test::run_cases;
use intertrunk_standard::Standard;

#[test]
fn decides_its_cases() {
    run_cases::<Standard>("cases");
}
