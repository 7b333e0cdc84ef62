//! Which devices a container may use: the rules of its cgroup, on every layout.

use crate::common::*;

/// Opens, and makes where it may, devices that the container is given or denied.
const TRY: &str = "for d in /dev/null /dev/zero /dev/kmsg /dev/mem; do (: < $d) 2>/dev/null && echo $d; done; \
                   mknod /tmp/fuse c 10 229 2>/dev/null && echo made; mknod /tmp/disk b 254 0 2>/dev/null && echo disk";

fn with_devices(host: Host, rules: Value) -> Container {
    let caps = json!(["CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_SYSLOG"]);
    Container::sh(TRY)
        .on(host)
        .set("root/readonly", json!(false))
        .set("process/capabilities", json!({ "bounding": caps, "effective": caps, "permitted": caps }))
        .set("linux/resources/devices", rules)
        .set(
            "linux/devices",
            json!([
                { "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666 },
                { "path": "/dev/mem", "type": "c", "major": 1, "minor": 1, "fileMode": 0o666 }
            ]),
        )
}

#[test]
fn devices_are_denied_but_for_the_defaults() {
    for host in Host::all() {
        let c = with_devices(host, json!([{ "allow": false, "access": "rwm" }]));
        let out = c.run();
        // To make a node is allowed for every device, to use it is not.
        assert!(out.stdout.starts_with("/dev/null\n/dev/zero\nmade\n"), "{host:?}: {out:?}");
        c.finish();
    }
}

#[test]
fn devices_are_allowed_by_type_number_and_access() {
    for host in Host::all() {
        let c = with_devices(
            host,
            json!([
                { "allow": false, "access": "rwm" },
                { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" }
            ]),
        );
        let out = c.run();
        assert!(out.stdout.starts_with("/dev/null\n/dev/zero\n/dev/kmsg\n"), "{host:?}: {out:?}");
        c.finish();

        let c = with_devices(
            host,
            json!([
                { "allow": false, "access": "rwm" },
                { "allow": true, "type": "c", "major": 1, "access": "rwm" },
                { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "r" }
            ]),
        );
        let out = c.run();
        assert!(!out.stdout.contains("kmsg"), "{host:?}: {out:?}");
        c.finish();
    }
}

#[test]
fn a_write_to_a_device_that_may_be_read_is_denied() {
    for host in Host::all() {
        let c = with_devices(
            host,
            json!([
                { "allow": false, "access": "rwm" },
                { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" }
            ]),
        );
        let c = c
            .set("process/args", json!(["sh", "-c", "(: < /dev/kmsg) && echo read; (: >> /dev/kmsg) && echo written"]));
        let out = c.run();
        assert_eq!(out.stdout, "read\n", "{host:?}: {out:?}");
        assert!(out.stderr.contains("Operation not permitted") || out.stderr.contains("Permission denied"), "{out:?}");
        c.finish();
    }
}
