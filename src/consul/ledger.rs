//! Consul as the [`Ledger`] of `register`: the services of one agent.

use super::{Client, Error, check, registration};
use crate::registry::{Entries, Instance, Ledger, LedgerError, StatusReport};

/// One agent as a [`Ledger`]. Clones share the client.
///
/// An instance out of traffic is in Consul's maintenance mode, which is a critical check with a special id. A
/// registration may contain that check.
#[derive(Clone, Debug)]
pub struct ConsulLedger {
    client: Client,
}

impl ConsulLedger {
    /// Writes through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The body that [`Ledger::put`] sends for an instance in traffic, for display.
    pub fn body(instance: &Instance) -> serde_json::Value {
        serde_json::to_value(registration::service_definition(instance, &instance.digest(), None))
            .expect("strings, numbers and maps with string keys")
    }
}

impl Ledger for ConsulLedger {
    fn name(&self) -> String {
        format!("Consul at {}", self.client.address())
    }

    async fn entries(&self) -> Result<Entries, LedgerError> {
        let (services, checks) = tokio::try_join!(self.client.agent_services(), self.client.agent_checks())
            .map_err(|error| ledger_error("the list of its entries", error))?;
        Ok(registration::entries(services, &checks))
    }

    async fn maintenance(&self, id: &str) -> Result<Option<String>, LedgerError> {
        let check_id = check::service_maintenance_id(id);
        let checks = self.client.agent_service_checks(id).await;
        let mut checks = checks.map_err(|error| ledger_error(format!("the query of the checks of {id}"), error))?;
        Ok(checks.remove(&check_id).map(|check| check.notes))
    }

    async fn put(&self, instance: &Instance, out: Option<&str>) -> Result<(), LedgerError> {
        let digest = instance.digest();
        let mut definition = registration::service_definition(instance, &digest, out);
        let mut sent = self.client.register_service(&definition).await;
        if matches!(&sent, Err(Error::Refused { answer, .. }) if answer.contains(registration::H2PING_FIELD)) {
            tracing::warn!(
                id = instance.id,
                "registered without its H2PING check: the agent does not support it; use Consul 1.10 or later"
            );
            definition.checks.retain(|check| check.h2ping.is_none());
            sent = self.client.register_service(&definition).await;
        }
        sent.map_err(|error| ledger_error(format!("the registration of {}", instance.id), error))
    }

    async fn report(&self, id: &str, key: &str, report: &StatusReport) -> Result<(), LedgerError> {
        let (check_id, status) = (check::check_id(id, key), check::status_text(report.status));
        let sent = self.client.update_check(&check_id, status, &report.output).await;
        sent.map_err(|error| ledger_error(format!("the status of {id}"), error))
    }

    async fn enable_maintenance(&self, id: &str, reason: &str) -> Result<(), LedgerError> {
        let sent = self.client.set_service_maintenance(id, Some(reason)).await;
        sent.map_err(|error| ledger_error(format!("taking {id} out of traffic"), error))
    }

    async fn disable_maintenance(&self, id: &str) -> Result<(), LedgerError> {
        let sent = self.client.set_service_maintenance(id, None).await;
        sent.map_err(|error| ledger_error(format!("bringing {id} back into traffic"), error))
    }

    async fn remove(&self, id: &str) -> Result<(), LedgerError> {
        let sent = self.client.deregister_service(id).await;
        sent.map_err(|error| ledger_error(format!("the removal of {id}"), error))
    }

    async fn advertised_address(&self) -> Result<String, LedgerError> {
        let found = self.client.advertised_address().await;
        found.map_err(|error| ledger_error("the query of the agent's address", error))
    }
}

fn ledger_error(what: impl Into<String>, error: Error) -> LedgerError {
    let what = what.into();
    match error {
        Error::Refused { .. } | Error::InvalidPath { .. } => LedgerError::Refused { what, answer: error.to_string() },
        Error::Denied { .. } => LedgerError::Denied { what, answer: error.to_string() },
        _ => LedgerError::Unavailable { what, source: error.into() },
    }
}
