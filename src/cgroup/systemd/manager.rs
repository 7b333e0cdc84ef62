//! What systemd is asked for, over D-Bus: to start and stop units, and to change their properties.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bus::{Bus, SYSTEMS_WAY_OUT, USERS_WAY_OUT};
use super::owner;
use super::property::Property;
use crate::dbus::{Call, Connection, Failure, Message, Value};
use crate::error::{Error, Result};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const ACCESS_DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";

/// Nothing is waited for longer, a whole job of systemd included; as long as runc waits.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Manager {
    connection: Connection,
    bus: Bus,
    patience: Duration,
    /// systemd knows that we want its signals.
    subscribed: bool,
}

/// Of a unit: bytes that are no letters or digits are written as _xx, and so is a digit at the beginning (sd_bus_path_encode(3)).
fn object_path(unit: &str) -> String {
    let plain = |at: usize, byte: u8| byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit());
    let encode = |(at, byte): (usize, u8)| match plain(at, byte) {
        true => char::from(byte).to_string(),
        false => format!("_{byte:02x}"),
    };
    format!("{PATH}/unit/{}", unit.bytes().enumerate().map(encode).collect::<String>())
}

/// What has to be known to plan a unit.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub version: u32,
    /// The cgroup that all of its units are below.
    pub cgroup: PathBuf,
}

impl Manager {
    pub fn connect(bus: &Bus) -> Result<Manager> {
        Manager::connect_within(bus, PATIENCE)
    }

    /// With less patience.
    pub fn connect_within(bus: &Bus, patience: Duration) -> Result<Manager> {
        let deadline = Instant::now() + patience;
        let mut failed = None;
        for (endpoint, is_bus) in bus.places() {
            match Connection::open(&endpoint, is_bus, deadline) {
                Ok(connection) => return Ok(Manager { connection, bus: bus.clone(), patience, subscribed: false }),
                // The first place is the one that was asked for.
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        let failed = failed.unwrap_or_else(|| Error::new("this is not the address of a socket on this host"));
        let hint = if bus.user { USERS_WAY_OUT } else { SYSTEMS_WAY_OUT };
        Err(explain(bus, failed).hint(hint))
    }

    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    pub fn facts(&mut self) -> Result<Facts> {
        let version = self.get("Version")?;
        let cgroup = self.get("ControlGroup")?;
        Ok(Facts {
            version: version_number(&version),
            cgroup: PathBuf::from(if cgroup.is_empty() { "/" } else { &cgroup }),
        })
    }

    fn get(&mut self, property: &str) -> Result<String> {
        self.get_of(PATH, MANAGER, property)
    }

    /// systemd describes a unit that it does not know by its name.
    pub fn description(&mut self, unit: &str) -> Result<String> {
        self.get_of(&object_path(unit), UNIT, "Description")
    }

    fn get_of(&mut self, path: &str, interface: &str, property: &str) -> Result<String> {
        let body = [interface.into(), property.into()];
        let call =
            Call { destination: NAME, path, interface: "org.freedesktop.DBus.Properties", member: "Get", body: &body };
        let deadline = Instant::now() + self.patience;
        let answer = self.connection.call(&call, deadline).map_err(|failure| self.explain(failure, property))?;
        let text = answer.first().and_then(Value::text).map(str::to_string);
        text.ok_or_else(|| self.explain(Error::new("it is no text"), property))
    }

    /// Starts a unit that lives as long as it is used, and waits until it is there.
    pub fn start(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        let what = format!("start {unit}");
        let deadline = Instant::now() + self.patience;
        let body = [
            unit.into(),
            "replace".into(),
            Property::list(properties),
            // No other units along with it.
            Value::Array("(sa(sv))".into(), Vec::new()),
        ];
        self.follow_jobs(unit, deadline).map_err(|failure| self.explain(failure, &what))?;
        let job = match self.call("StartTransientUnit", &body, deadline) {
            // What has failed stays until somebody has seen it.
            Err(failure) if failure.is(UNIT_EXISTS) => {
                self.reset_failed(unit);
                self.call("StartTransientUnit", &body, deadline)
            }
            other => other,
        };
        let ended = job.and_then(|job| Ok(self.await_job(&job, deadline)?));
        match ended {
            Ok(result) if result == "done" => Ok(()),
            Ok(result) => {
                self.reset_failed(unit);
                let error = self.explain(Error::new(format!("its job has ended as {result:?}")), &what);
                let user = if self.bus.user { " --user" } else { "" };
                Err(error.hint(format!("see `journalctl{user} -u {unit}`")))
            }
            Err(failure) if failure.is(ACCESS_DENIED) => Err(self.explain(failure, &what).hint(
                "the host's systemd makes units for root alone; a user has a systemd of the user's own, which is asked \
                 without --rootless=false",
            )),
            Err(failure) => Err(self.explain(failure, &what)),
        }
    }

    /// Stops a unit, if there is one, and waits for its end.
    pub fn stop(&mut self, unit: &str) -> Result<()> {
        let what = format!("stop {unit}");
        let deadline = Instant::now() + self.patience;
        self.follow_jobs(unit, deadline).map_err(|failure| self.explain(failure, &what))?;
        let job = self.call("StopUnit", &[unit.into(), "replace".into()], deadline);
        let ended = job.and_then(|job| Ok(self.await_job(&job, deadline)?));
        // Stopped after something in it has failed, it would stay.
        self.reset_failed(unit);
        match ended {
            Err(failure) if failure.is(NO_SUCH_UNIT) => Ok(()),
            Err(failure) => Err(self.explain(failure, &what)),
            Ok(_) => Ok(()),
        }
    }

    /// Lets systemd forget a unit that has failed. One that has not, it refuses to forget, and one that is not there.
    pub fn reset_failed(&mut self, unit: &str) {
        let deadline = Instant::now() + self.patience;
        let _ = self.call("ResetFailedUnit", &[unit.into()], deadline);
    }

    /// Until the host's next boot.
    pub fn set_properties(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        let deadline = Instant::now() + self.patience;
        let body = [unit.into(), true.into(), Property::list(properties)];
        let set = self.call("SetUnitProperties", &body, deadline);
        set.map(drop).map_err(|failure| self.explain(failure, &format!("set properties of {unit}")))
    }

    fn follow_jobs(&mut self, unit: &str, deadline: Instant) -> std::result::Result<(), Failure> {
        let rule = format!("type='signal',sender='{NAME}',interface='{MANAGER}',member='JobRemoved',arg2='{unit}'");
        self.connection.subscribe(&rule, deadline)?;
        // Without a subscriber systemd sends no signals, and one that subscribes again is an error to it.
        if !self.subscribed {
            self.call("Subscribe", &[], deadline)?;
            self.subscribed = true;
        }
        Ok(())
    }

    /// How the job of a call has ended.
    fn await_job(&mut self, answer: &[Value], deadline: Instant) -> Result<String> {
        let job = answer.first().and_then(Value::text).ok_or_else(|| Error::new("it has named no job"))?;
        let is_it = |signal: &Message| signal.body.get(1).and_then(Value::text) == Some(job);
        let signal = self.connection.signal("JobRemoved", is_it, deadline)?;
        Ok(signal.body.get(3).and_then(Value::text).unwrap_or_default().to_string())
    }

    fn call(&mut self, member: &str, body: &[Value], deadline: Instant) -> std::result::Result<Vec<Value>, Failure> {
        self.connection.call(&Call { destination: NAME, path: PATH, interface: MANAGER, member, body }, deadline)
    }

    fn explain(&self, failure: impl Into<Error>, what: &str) -> Error {
        explain(&self.bus, failure.into().context(what))
    }
}

/// Which systemd, by whom: what a person would have to know first.
fn explain(bus: &Bus, error: Error) -> Error {
    let whose = if bus.user { "the user's systemd" } else { "systemd" };
    error.context(format!("{whose} at {} (uid {})", bus.address, owner::host_uid()))
}

/// `v245.4-1.fc32` is 245.
fn version_number(text: &str) -> u32 {
    let text = text.trim_start_matches(['"', 'v']);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbus::peer::{Peer, error, reply, signal};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn bus(peer: &Peer) -> Bus {
        Bus { user: false, address: format!("unix:path={}", peer.path()) }
    }

    fn job_removed(result: &str) -> Vec<u8> {
        signal("JobRemoved", &[Value::U32(7), Value::Path("/job/7".into()), "x.scope".into(), result.into()])
    }

    /// Answers what is not what a test is about.
    fn usual(call: &Message) -> Vec<Vec<u8>> {
        match call.member.as_str() {
            "Hello" => vec![reply(call, &[":1.1".into()])],
            "StartTransientUnit" | "StopUnit" => {
                vec![reply(call, &[Value::Path("/job/7".into())]), job_removed("done")]
            }
            "ResetFailedUnit" => vec![error(call, NO_SUCH_UNIT, "not loaded")],
            _ => vec![reply(call, &[])],
        }
    }

    fn manager(peer: &Peer) -> Manager {
        Manager::connect_within(&bus(peer), PATIENCE).unwrap()
    }

    #[test]
    fn a_unit_is_started_with_its_properties_and_waited_for() {
        let peer = Peer::start(usual);
        let properties = [Property::new("Slice", "a.slice"), Property::new("Delegate", true)];
        manager(&peer).start("x.scope", &properties).unwrap();
        assert_eq!(peer.calls(), ["Hello", "AddMatch", "Subscribe", "StartTransientUnit"]);
        let text: Vec<String> = peer.body("StartTransientUnit").iter().map(Value::to_string).collect();
        assert_eq!(text, ["'x.scope'", "'replace'", "[('Slice', <'a.slice'>), ('Delegate', <true>)]", "@a(sa(sv)) []"]);
        let rule = peer.body("AddMatch")[0].to_string();
        assert!(rule.contains("JobRemoved") && rule.contains("arg2=\\'x.scope\\'"), "{rule}");
    }

    #[test]
    fn several_units_are_started_over_one_connection() {
        let peer = Peer::start(usual);
        let mut manager = manager(&peer);
        manager.start("x.slice", &[]).unwrap();
        manager.start("x.scope", &[]).unwrap();
        let expected = ["Hello", "AddMatch", "Subscribe", "StartTransientUnit", "AddMatch", "StartTransientUnit"];
        assert_eq!(peer.calls(), expected);
    }

    #[test]
    fn a_signal_may_come_before_the_answer() {
        let peer = Peer::start(|call| match call.member.as_str() {
            "StartTransientUnit" => vec![
                signal("JobRemoved", &[Value::U32(6), Value::Path("/job/6".into()), "x.scope".into(), "failed".into()]),
                job_removed("done"),
                reply(call, &[Value::Path("/job/7".into())]),
            ],
            _ => usual(call),
        });
        manager(&peer).start("x.scope", &[]).unwrap();
    }

    #[test]
    fn a_unit_that_has_failed_is_forgotten_and_started_again() {
        let tries = std::cell::Cell::new(0);
        let peer = Peer::start(move |call| match call.member.as_str() {
            "StartTransientUnit" if tries.replace(1) == 0 => {
                vec![error(call, UNIT_EXISTS, "Unit x.scope was already loaded")]
            }
            _ => usual(call),
        });
        manager(&peer).start("x.scope", &[]).unwrap();
        let calls = peer.calls();
        assert_eq!(calls[3..], ["StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]);

        let peer = Peer::start(|call| match call.member.as_str() {
            "StartTransientUnit" => vec![error(call, UNIT_EXISTS, "Unit x.scope was already loaded")],
            _ => usual(call),
        });
        let error = manager(&peer).start("x.scope", &[]).unwrap_err().to_string();
        assert!(
            error.contains("start x.scope: Unit x.scope was already loaded (org.freedesktop.systemd1.UnitExists)"),
            "{error}"
        );
    }

    #[test]
    fn a_job_that_fails_is_an_error() {
        let peer = Peer::start(|call| match call.member.as_str() {
            "StartTransientUnit" => vec![reply(call, &[Value::Path("/job/7".into())]), job_removed("failed")],
            _ => usual(call),
        });
        let error = manager(&peer).start("x.scope", &[]).unwrap_err().to_string();
        let uid = owner::host_uid();
        let start = format!(
            "systemd at unix:path={} (uid {uid}): start x.scope: its job has ended as \"failed\"; see `journal",
            peer.path()
        );
        assert!(error.starts_with(&start), "{error}");
        assert_eq!(peer.calls().last().unwrap(), "ResetFailedUnit");
    }

    #[test]
    fn a_job_without_an_end_is_not_waited_for_for_ever() {
        let peer = Peer::start(|call| match call.member.as_str() {
            "StartTransientUnit" => vec![reply(call, &[Value::Path("/job/7".into())])],
            _ => usual(call),
        });
        let start = Instant::now();
        let mut manager = Manager { patience: Duration::from_millis(300), ..manager(&peer) };
        let error = manager.start("x.scope", &[]).unwrap_err().to_string();
        assert!(error.ends_with("start x.scope: it does not answer JobRemoved"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_is_stopped_already_is_well() {
        let peer = Peer::start(|call| match call.member.as_str() {
            "StopUnit" => vec![error(call, NO_SUCH_UNIT, "Unit x.scope not loaded.")],
            _ => usual(call),
        });
        manager(&peer).stop("x.scope").unwrap();
        let peer = Peer::start(usual);
        manager(&peer).stop("x.scope").unwrap();
        assert_eq!(peer.calls()[3..], ["StopUnit", "ResetFailedUnit"]);
        let peer = Peer::start(|call| match call.member.as_str() {
            "StopUnit" => vec![error(call, "org.freedesktop.DBus.Error.AccessDenied", "Access denied")],
            _ => usual(call),
        });
        let error = manager(&peer).stop("x.scope").unwrap_err().to_string();
        assert!(error.ends_with("stop x.scope: Access denied (org.freedesktop.DBus.Error.AccessDenied)"), "{error}");
    }

    #[test]
    fn facts_are_read() {
        let peer = Peer::start(|call| match call.body.get(1).and_then(Value::text) {
            Some("Version") => vec![reply(call, &[Value::variant("257.8-1~deb13u1")])],
            Some("ControlGroup") => vec![reply(call, &[Value::variant("/user.slice/x.service")])],
            _ => usual(call),
        });
        let facts = manager(&peer).facts().unwrap();
        assert_eq!((facts.version, facts.cgroup.to_str()), (257, Some("/user.slice/x.service")));
        let numbers = ["v245.4-1.fc32", "\"252\"", "241~rc1", "", "x"].map(version_number);
        assert_eq!(numbers, [245, 252, 241, 0, 0]);
    }

    #[test]
    fn who_is_not_there_is_named_with_the_way_out() {
        let uid = owner::host_uid();
        let error =
            |user, address: &str| Manager::connect(&Bus { user, address: address.into() }).unwrap_err().to_string();
        let user = error(true, "unix:path=/nonexistent/bus");
        assert!(
            user.starts_with(&format!(
                "the user's systemd at unix:path=/nonexistent/bus (uid {uid}): No such file or directory; "
            )),
            "{user}"
        );
        assert!(user.contains("loginctl enable-linger") && user.contains("leave out --systemd-cgroup"), "{user}");
        let system = error(false, "tcp:host=localhost,port=1");
        assert!(system.contains("(uid ") && system.contains("not the address of a socket on this host"), "{system}");
        assert!(system.contains("systemctl status dbus"), "{system}");
    }
}
