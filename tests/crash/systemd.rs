//! What systemd starts.

use super::making::Making;
use super::matrix::matrix;
use super::pods::Stage;

#[test]
fn create_can_be_killed_anywhere() {
    if !crate::systemd::can_be_tested() {
        return;
    }
    matrix("create by systemd", 30).runtime_killed(Making::create_by_systemd);
    matrix("create by systemd", 20).init_killed(Making::create_by_systemd);
}

#[test]
fn pod_create_can_be_killed_anywhere() {
    if !crate::systemd::can_be_tested() {
        return;
    }
    matrix("pod create by systemd", 30).runtime_killed(Stage::create_by_systemd);
    matrix("pod create by systemd", 20).init_killed(Stage::create_by_systemd);
}
