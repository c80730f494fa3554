//! `/v1/agent`: the services and checks of this host.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Client, Error, ServiceDefinition, client::ApiRequest, health::null_is_default, path};

const SERVICE_PATH: &str = "/v1/agent/service";

/// A service as its agent holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentService {
    /// Unique on the agent.
    #[serde(rename = "ID")]
    pub id: String,
    /// The service's name.
    pub service: String,
    /// Empty when it is the agent's own.
    pub address: String,
    /// Consul takes any number.
    pub port: i64,
    /// In the order in which they were registered.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// All of it, with our own marks.
    #[serde(deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
}

/// A check as its agent holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentCheck {
    /// Unique on the agent.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// For people.
    pub name: String,
    /// `http`, `ttl` and so on; empty from agents before 1.7.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// Free text; on the check of maintenance mode, the reason.
    pub notes: String,
    /// What the last probe or report said.
    #[serde(deserialize_with = "null_is_default")]
    pub output: String,
    /// The service that it belongs to; empty for a check of the whole host.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentSelf {
    config: AgentConfig,
    member: AgentMember,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    node_name: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentMember {
    addr: String,
}

impl Client {
    /// The address that the agent advertises to the others in its datacenter.
    ///
    /// # Errors
    /// As for any call; needs `agent:read`.
    pub async fn advertised_address(&self) -> Result<String, Error> {
        Ok(self.agent_self().await?.member.addr)
    }

    /// The name of the agent's own node.
    ///
    /// # Errors
    /// As for any call; needs `agent:read`.
    pub async fn own_node(&self) -> Result<String, Error> {
        Ok(self.agent_self().await?.config.node_name)
    }

    /// The version of the agent.
    ///
    /// # Errors
    /// As for any call; needs `agent:read`.
    pub async fn version(&self) -> Result<String, Error> {
        Ok(self.agent_self().await?.config.version)
    }

    async fn agent_self(&self) -> Result<AgentSelf, Error> {
        self.send(ApiRequest::get("/v1/agent/self")).await?.json()
    }

    /// The services of this agent, by id.
    ///
    /// # Errors
    /// As for any call. A token that may not read a service does not see it, without an error.
    pub async fn agent_services(&self) -> Result<BTreeMap<String, AgentService>, Error> {
        let are_consuls = |services: &BTreeMap<String, AgentService>| {
            services.iter().all(|(id, service)| *id == service.id && !service.service.is_empty())
        };
        self.send(ApiRequest::get("/v1/agent/services")).await?.json_matching(are_consuls)
    }

    /// The checks of this agent, by id.
    ///
    /// # Errors
    /// As for any call. A token that may not read a check does not see it, without an error.
    pub async fn agent_checks(&self) -> Result<BTreeMap<String, AgentCheck>, Error> {
        self.fetch_checks(ApiRequest::get("/v1/agent/checks")).await
    }

    /// The checks of one service.
    ///
    /// # Errors
    /// As for any call.
    pub(super) async fn agent_service_checks(&self, service: &str) -> Result<BTreeMap<String, AgentCheck>, Error> {
        let call = ApiRequest::get("/v1/agent/checks");
        // Between backticks a filter takes everything else as it is. Without a filter there is only more to read.
        let quotable = !service.contains('`');
        self.fetch_checks(if quotable { call.with("filter", format!("ServiceID == `{service}`")) } else { call }).await
    }

    async fn fetch_checks(&self, call: ApiRequest) -> Result<BTreeMap<String, AgentCheck>, Error> {
        let are_consuls =
            |checks: &BTreeMap<String, AgentCheck>| checks.iter().all(|(id, check)| *id == check.check_id);
        self.send(call).await?.json_matching(are_consuls)
    }

    /// Creates or replaces a service. Any other check of it goes, and with it maintenance mode.
    ///
    /// # Errors
    /// [`Error::Refused`] tells what the agent does not accept.
    pub async fn register_service(&self, definition: &ServiceDefinition<'_>) -> Result<(), Error> {
        let mut call = ApiRequest::put(format!("{SERVICE_PATH}/register")).with("replace-existing-checks", "true");
        call.body = Some(serde_json::to_vec(definition).expect("strings, numbers and maps with string keys"));
        self.send_any_status(call).await?.require_written()
    }

    /// Removes a service. It is no error if there is none: some versions answer 200 then, others 404.
    ///
    /// # Errors
    /// As for any call.
    pub async fn deregister_service(&self, id: &str) -> Result<(), Error> {
        let call = ApiRequest::put(path::with_name(&format!("{SERVICE_PATH}/deregister"), id)?);
        match self.send_any_status(call).await?.require_written() {
            // A 404 of somebody else knows of no services.
            Err(Error::Refused { status: 404, answer, .. }) if answer.to_lowercase().contains("service") => Ok(()),
            result => result,
        }
    }

    /// Reports the status of a check that waits for reports.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such check (404, or 500 from older agents as [`Error::Trouble`]).
    pub async fn update_check(&self, check: &str, status: &str, output: &str) -> Result<(), Error> {
        let mut call = ApiRequest::put(path::with_name("/v1/agent/check/update", check)?);
        let body = serde_json::json!({"Status": status, "Output": output});
        call.body = Some(body.to_string().into_bytes());
        self.send_any_status(call).await?.require_written()
    }

    /// Switches maintenance mode on, with a reason, or off. A service that is in it already keeps its first reason.
    ///
    /// # Errors
    /// [`Error::Refused`] with status 404 if there is no such service.
    pub async fn set_service_maintenance(&self, id: &str, reason: Option<&str>) -> Result<(), Error> {
        let call = ApiRequest::put(path::with_name(&format!("{SERVICE_PATH}/maintenance"), id)?);
        let call = match reason {
            Some(reason) => call.with("enable", "true").with("reason", reason),
            None => call.with("enable", "false"),
        };
        self.send_any_status(call).await?.require_written()
    }
}
