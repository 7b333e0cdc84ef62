//! What is done to a pod and its containers together, and what is seen of them.

use crate::common::*;

#[test]
fn a_pod_and_its_containers_leave_nothing() {
    if !hilum_only("pods") {
        return;
    }
    let pod = Pod::with(&[]);
    let (app, sidecar) = (Container::sleeper().in_pod(&pod), Container::sleeper().in_pod(&pod));
    app.up();
    sidecar.up();
    assert_eq!(ns(app.pid(), "net"), pod.ns("net"));
    assert_eq!(ns(sidecar.pid(), "net"), pod.ns("net"));
    pod.finish();
    app.left_nothing();
    sidecar.left_nothing();
}
