//! Exec and Attach, which answer with the URL of a streaming server: what `kubectl exec` and `kubectl attach` do.

use super::*;

/// A client at the URL that a call answers with; its exit code is that of the status that the server sends at the end.
#[track_caller]
fn stream(cri: &'static Cri, method: &str, request: &Value, size: &[&str], input: &str) -> Out {
    let url = cri.ok(method, request)["url"].as_str().unwrap().to_owned();
    let program = dir().join("cri/stream.py");
    run_with(Command::new(PYTHON).arg(program).arg(url).args(size), input)
}

impl Container {
    #[track_caller]
    fn exec_streams(&self, cmd: &[&str], input: &str) -> Out {
        let request =
            json!({ "container_id": self.id, "cmd": cmd, "stdin": !input.is_empty(), "stdout": true, "stderr": true });
        stream(self.cri, "Exec", &request, &[], input)
    }

    /// The size is what the client says that its window has.
    #[track_caller]
    fn exec_on_terminal(&self, cmd: &[&str], size: [&str; 2], input: &str) -> Out {
        let request = json!({ "container_id": self.id, "cmd": cmd, "tty": true, "stdin": true, "stdout": true });
        stream(self.cri, "Exec", &request, &size, input)
    }

    #[track_caller]
    fn attach(&self, tty: bool, input: &str) -> Out {
        let request = json!({ "container_id": self.id, "tty": tty, "stdin": true, "stdout": true, "stderr": !tty });
        stream(self.cri, "Attach", &request, &[], input)
    }

    fn exit_code(&self) -> i64 {
        eventually("its end", || self.status()["state"] == "CONTAINER_EXITED");
        self.status()["exit_code"].as_i64().unwrap_or(0)
    }
}

pub fn exec_has_three_streams_and_a_code(cri: &'static Cri) {
    let pod = Pod::run(cri, "exec-streams", own_pids());
    let c = pod.container("exec sleep 1000", own_pids());
    let script = "read one; echo \"out $one\"; read two; echo \"err $two\" >&2; test -t 0 && echo terminal; exit 7";
    let out = c.exec_streams(&["sh", "-c", script], "first\nsecond\n");
    assert_eq!((out.code, out.stdout.as_str(), out.stderr.as_str()), (7, "out first\n", "err second\n"));
    // Of the container, and as long as it takes: more than one message.
    let out = c.exec_streams(&["sh", "-c", "readlink /proc/self/ns/pid; seq 20000; cat"], "");
    let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    assert_eq!((out.code, out.stdout), (0, format!("{}\n{numbers}", ns(c.pid(), "pid"))));
    let missing = c.exec_streams(&["/no/such"], "");
    assert!(missing.code != 0 && missing.stderr.contains("no such file or directory"), "{missing:?}");
}

pub fn exec_on_a_terminal(cri: &'static Cri) {
    let pod = Pod::run(cri, "exec-terminal", own_pids());
    let c = pod.container("exec sleep 1000", own_pids());
    // The window's size comes when the shell is there already.
    let script = "until stty size | grep -x '33 99'; do sleep 0.05; done; test -t 1 && test -t 2 && exec sh";
    let out = c.exec_on_terminal(&["sh", "-c", script], ["99", "33"], "echo $((40+2)) $(tty)\nexit 6\n");
    assert!(out.stdout.contains("33 99\r\n") && out.stdout.contains("42 /dev/pts/0\r\n"), "{out:?}");
    assert_eq!(out.code, 6, "{out:?}");
}

pub fn attach(cri: &'static Cri) {
    let pod = Pod::run(cri, "attach", own_pids());
    // It has nothing to say before somebody listens.
    let script = "read one; echo \"got $one\"; read two; echo \"and $two\" >&2; exit 5";
    // As `kubectl run -i` has it. Without stdin_once, the end of one stream detaches from the other before its end.
    let c = pod.start(script, json!({ "stdin": true, "stdin_once": true }));
    assert_eq!(comm(c.pid()), "sh");
    let out = c.attach(false, "this\nthat\n");
    assert_eq!((out.code, out.stdout.as_str(), out.stderr.as_str()), (0, "got this\n", "and that\n"));
    assert_eq!(c.exit_code(), 5);
}

pub fn attach_to_a_terminal(cri: &'static Cri) {
    let pod = Pod::run(cri, "attach-terminal", own_pids());
    let c = pod.start("exec sh", json!({ "stdin": true, "tty": true }));
    c.pid();
    let out = c.attach(true, "echo $((40+2)) $(tty)\nexit 4\n");
    assert!(out.stdout.contains("42 /dev/"), "{out:?}");
    assert_eq!((out.code, c.exit_code()), (0, 4));
}
