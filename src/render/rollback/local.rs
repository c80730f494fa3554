//! Executes a request without a running Portreeve.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{ControlHandler, ControlRequest, TargetHistory};
use crate::{
    control::RequestHandler,
    core::condition::error_chain,
    registry::Source,
    render::{
        Setup,
        once::{RenderOnceError, run_once},
        template_set::PinnedTemplatesStore,
    },
    target::ApplyOutcome,
};

/// Executes a request on targets that no process runs. A pin stays in effect for the next process that runs them. After
/// `stop` is cancelled, a swap of files that has begun is completed.
///
/// # Errors
/// What could not be done, as a message for the user.
pub async fn execute_request<S: Source>(
    mut setup: Setup,
    request: ControlRequest,
    source: Arc<S>,
    deadline: Duration,
    stop: &CancellationToken,
) -> Result<Vec<TargetHistory>, String> {
    let handler = ControlHandler::new(&setup);
    let (name, to, data) = match request {
        ControlRequest::Rollback { target, to, data } => (target, to, data),
        ControlRequest::Release { target } => {
            let target = handler.find_target(target.as_ref())?;
            handler.restore_pin(target, None)?;
            return Ok(vec![handler.target_history(target)?]);
        }
        ControlRequest::List { .. } | ControlRequest::Diff { .. } => return handler.handle(request).await,
    };
    let target = handler.find_target(name.as_ref())?;
    let before = target.history.pin();
    let pin = handler.pin(target, to, data)?;
    setup.targets = vec![setup.targets.swap_remove(target.index)];
    setup.target_renderers = vec![setup.target_renderers.swap_remove(target.index)];
    let problem = if data {
        let target = setup.targets.remove(0);
        match target.stop_with(stop.clone()).apply().await {
            Ok(ApplyOutcome::Incomplete) => {
                Some("one of its templates has not rendered, and this generation has no file for it".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(error_chain(&error)),
        }
    } else {
        if let Some(pinned) = handler.pinned_store.snapshot().entries.get(&target.index) {
            setup.target_renderers[0].replace_templates(&pinned.templates, true);
        }
        // The templates of the only target are set; the pins of the others do not count.
        setup.pinned_store = PinnedTemplatesStore::with_bell_of(&setup.template_store);
        match run_once(setup, source, deadline, stop).await {
            // The pinned templates are in effect, although some entries are left out.
            Ok(()) | Err(RenderOnceError::EntriesHeld(_)) => None,
            Err(error) => Some(error_chain(&error)),
        }
    };
    match problem {
        None => Ok(vec![handler.target_history(target)?]),
        Some(problem) => Err(handler.undo_pin(target, before, pin, &problem)),
    }
}
