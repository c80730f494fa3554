//! `/v1/agent`: the services and checks of the agent.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Client, Error, ServiceDefinition, client::ApiRequest, health::null_is_default, path};

const SERVICE_PATH: &str = "/v1/agent/service";

/// A service in the registry of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentService {
    /// Unique on the agent.
    #[serde(rename = "ID")]
    pub id: String,
    /// The service's name.
    pub service: String,
    /// Empty if it is the address of the agent.
    pub address: String,
    /// Not validated: Consul accepts any number.
    pub port: i64,
    /// In the order of the registration.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// All pairs, including those of Portreeve.
    #[serde(deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
}

/// A check in the registry of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentCheck {
    /// Unique on the agent.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// The display name.
    pub name: String,
    /// The type of the check, such as `http` or `ttl`. Empty on agents before 1.7.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// Free text. On the check of maintenance mode: the reason.
    pub notes: String,
    /// The output of the last probe or report.
    #[serde(deserialize_with = "null_is_default")]
    pub output: String,
    /// The id of the service that it belongs to. Empty for a check of the whole node.
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
    /// The address that the agent advertises in its datacenter.
    ///
    /// # Errors
    /// As for any call; needs `agent:read`.
    pub async fn advertised_address(&self) -> Result<String, Error> {
        Ok(self.agent_self().await?.member.addr)
    }

    /// The name of the agent's node.
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
    /// As for any call. Services that the token may not read are missing, without an error.
    pub async fn agent_services(&self) -> Result<BTreeMap<String, AgentService>, Error> {
        let has_names = |services: &BTreeMap<String, AgentService>| {
            services.iter().all(|(id, service)| *id == service.id && !service.service.is_empty())
        };
        self.send(ApiRequest::get("/v1/agent/services")).await?.json_matching(has_names)
    }

    /// The checks of this agent, by id.
    ///
    /// # Errors
    /// As for any call. Checks that the token may not read are missing, without an error.
    pub async fn agent_checks(&self) -> Result<BTreeMap<String, AgentCheck>, Error> {
        self.fetch_checks(ApiRequest::get("/v1/agent/checks")).await
    }

    /// The checks of one service.
    ///
    /// # Errors
    /// As for any call.
    pub(super) async fn agent_service_checks(&self, service: &str) -> Result<BTreeMap<String, AgentCheck>, Error> {
        let call = ApiRequest::get("/v1/agent/checks");
        // A backtick cannot be escaped in a filter. Without a filter the agent returns all checks, which is correct
        // too.
        let quotable = !service.contains('`');
        self.fetch_checks(if quotable { call.with("filter", format!("ServiceID == `{service}`")) } else { call }).await
    }

    async fn fetch_checks(&self, call: ApiRequest) -> Result<BTreeMap<String, AgentCheck>, Error> {
        let has_ids = |checks: &BTreeMap<String, AgentCheck>| checks.iter().all(|(id, check)| *id == check.check_id);
        self.send(call).await?.json_matching(has_ids)
    }

    /// Creates or replaces a service. Checks that the definition does not contain are removed, and so is maintenance
    /// mode.
    ///
    /// # Errors
    /// [`Error::Refused`] if the agent does not accept the definition.
    pub async fn register_service(&self, definition: &ServiceDefinition<'_>) -> Result<(), Error> {
        let mut call = ApiRequest::put(format!("{SERVICE_PATH}/register")).with("replace-existing-checks", "true");
        call.body = Some(serde_json::to_vec(definition).expect("strings, numbers and maps with string keys"));
        self.send_any_status(call).await?.require_written()
    }

    /// Removes a service. A missing service is not an error: some versions of Consul answer 200, others 404.
    ///
    /// # Errors
    /// As for any call.
    pub async fn deregister_service(&self, id: &str) -> Result<(), Error> {
        let call = ApiRequest::put(path::with_name(&format!("{SERVICE_PATH}/deregister"), id)?);
        match self.send_any_status(call).await?.require_written() {
            // Only the agent's own 404 mentions the service; one from a proxy does not.
            Err(Error::Refused { status: 404, answer, .. }) if answer.to_lowercase().contains("service") => Ok(()),
            result => result,
        }
    }

    /// Reports the status of a TTL check.
    ///
    /// # Errors
    /// If there is no such check: [`Error::Refused`] (404), or [`Error::ServerError`] (500) from older agents.
    pub async fn update_check(&self, check: &str, status: &str, output: &str) -> Result<(), Error> {
        let mut call = ApiRequest::put(path::with_name("/v1/agent/check/update", check)?);
        let body = serde_json::json!({"Status": status, "Output": output});
        call.body = Some(body.to_string().into_bytes());
        self.send_any_status(call).await?.require_written()
    }

    /// Enables maintenance mode with a reason, or disables it (`None`). A service that is in maintenance mode already
    /// keeps its first reason.
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
