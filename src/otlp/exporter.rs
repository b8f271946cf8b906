//! The task that exports spans, from its start to its end.

use std::sync::{Mutex, PoisonError};

use tokio::{runtime::Handle, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    base::secret::Secret,
    config::{SecretSource, Telemetry},
    metrics::trace::TraceMetrics,
    trace::{self, Spans, Tracer},
};

use super::{FLUSH, Resource, Settings, address, headers, run};

/// Exports spans until it is finished.
#[derive(Debug)]
pub struct Exporter {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Traces as the configuration says, with what exports them; off without a collector. Runs inside a runtime.
///
/// # Errors
/// A secret that cannot be read, or a header that cannot be sent.
pub fn start(telemetry: &Telemetry, metrics: &TraceMetrics) -> Result<(Tracer, Option<Exporter>), String> {
    let endpoint = telemetry.otlp_endpoint.as_ref().map(SecretSource::resolve).transpose()?.flatten();
    let Some(endpoint) = endpoint else { return Ok((Tracer::off(), None)) };
    let mut extra = Vec::new();
    for (name, source) in &telemetry.otlp_headers {
        extra.extend(source.resolve()?.map(|value| (name.clone(), value)));
    }
    let settings = Settings {
        address: Secret::new(address(endpoint.expose())),
        headers: headers(extra).map_err(|name| format!("telemetry.otlp_headers.{name} cannot be sent"))?,
        resource: Resource { service: telemetry.service_name.clone(), instance: Uuid::now_v7().to_string() },
    };
    let wanted = trace::Settings {
        sample: telemetry.sample,
        propagate: telemetry.propagate,
        content: telemetry.content.iter().cloned().collect(),
        queue: telemetry.max_queue.bytes(),
    };
    let (tracer, spans) = Tracer::new(wanted, metrics.clone());
    Ok((tracer, Some(Exporter::start(spans, settings, metrics.clone()))))
}

impl Exporter {
    fn start(spans: Spans, settings: Settings, metrics: TraceMetrics) -> Self {
        let stop = CancellationToken::new();
        let task = Handle::current().spawn(run(spans, settings, metrics, stop.clone()));
        Self { stop, task: Mutex::new(Some(task)) }
    }

    /// Sends what waits, for [`FLUSH`] at most; nothing is sent after that.
    pub async fn finish(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && timeout(FLUSH, &mut task).await.is_err()
        {
            task.abort();
            tracing::warn!("the collector (telemetry.otlp_endpoint) did not take the last spans in time");
        }
    }
}
