//! Builds inspections of containers.

#![allow(dead_code, unreachable_pub)]

use serde_json::{Value, json};

/// The inspection of a container, which the methods change.
#[derive(Clone)]
pub struct Subject(Value);

/// A running container `a1` of the image `nginx`, at 172.17.0.2 on the default bridge, without ports.
pub fn a1() -> Subject {
    Subject(json!({
        "Id": format!("{:0>64}", "a1"), "Name": "/a1", "Image": "sha256:x", "RestartCount": 0,
        "State": {"Status": "running", "Running": true, "Paused": false, "Restarting": false, "ExitCode": 0,
            "StartedAt": "2026-01-01T00:00:00.1Z"},
        "Config": {"Image": "nginx", "Env": [], "Labels": {}, "ExposedPorts": {}},
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Ports": {}, "Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
    }))
}

/// [`a1`] with `80/tcp` published at port 8000 of all addresses.
pub fn web() -> Subject {
    a1().publish("80/tcp", &["0.0.0.0:8000"])
}

/// [`web`] with `443/tcp` also published, at port 4443.
pub fn pair() -> Subject {
    web().publish("443/tcp", &["0.0.0.0:4443"])
}

impl Subject {
    /// With another name, and an id derived from it.
    pub fn named(mut self, name: &str) -> Self {
        (self.0["Name"], self.0["Id"]) = (format!("/{name}").into(), format!("{name:0>64}").into());
        self
    }

    /// With another image.
    pub fn image(mut self, image: &str) -> Self {
        self.0["Config"]["Image"] = image.into();
        self
    }

    /// With another variable, `NAME=value`.
    pub fn env(mut self, pair: &str) -> Self {
        self.0["Config"]["Env"].as_array_mut().expect("a list").push(pair.into());
        self
    }

    /// With another label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.0["Config"]["Labels"][name] = value.into();
        self
    }

    /// With another port that is exposed but not published.
    pub fn expose(self, port: &str) -> Self {
        self.publish(port, &[])
    }

    /// With another port, published at these addresses of the host (`address:port`).
    pub fn publish(mut self, port: &str, places: &[&str]) -> Self {
        let place = |place: &&str| {
            let (ip, port) = place.rsplit_once(':').expect("address:port");
            json!({"HostIp": ip.trim_matches(['[', ']']), "HostPort": port})
        };
        let places: Vec<_> = places.iter().map(place).collect();
        self.0["Config"]["ExposedPorts"][port] = json!({});
        self.0["NetworkSettings"]["Ports"][port] = if places.is_empty() { Value::Null } else { places.into() };
        self
    }

    /// With another network mode, and an address on each network. Modes without published ports remove the bindings.
    pub fn network(mut self, mode: &str, networks: &[(&str, &str)]) -> Self {
        let networks = networks.iter().map(|(name, ip)| ((*name).to_owned(), json!({"IPAddress": ip})));
        self.0["HostConfig"]["NetworkMode"] = mode.into();
        self.0["NetworkSettings"]["Networks"] = Value::Object(networks.collect());
        if ["host", "none"].contains(&mode) || mode.starts_with("container:") {
            self.0["NetworkSettings"]["Ports"] = json!({});
        }
        self
    }

    /// With an id for one of its networks, and that id as the network mode.
    pub fn network_mode_by_id(mut self, name: &str, id: &str) -> Self {
        self.0["NetworkSettings"]["Networks"][name]["NetworkID"] = id.into();
        self.0["HostConfig"]["NetworkMode"] = id.into();
        self
    }

    /// The engine's answer to an inspection.
    pub fn inspect(&self) -> Value {
        self.0.clone()
    }

    /// The full id.
    pub fn id(&self) -> String {
        self.0["Id"].as_str().expect("text").to_owned()
    }
}
