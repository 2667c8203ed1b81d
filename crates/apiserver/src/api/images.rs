//! What node agents ask for beyond Kubernetes' API: that an image of a pod of theirs be pulled.

use super::answer::{self, Answer};
use super::dispatch::whole;
use super::server::Context;
use crate::auth::User;
use crate::images::{Wish, is_named};
use crate::registry::Status;
use herder_listen::Arriving;
use serde_json::{Value, json};

/// Where.
pub(crate) const PATH: &str = "/internal/images";

/// Waits for a moment; `{}` says that it is still under way.
pub(crate) async fn answer(
    context: &Context,
    user: &User,
    request: http::Request<Arriving>,
) -> Result<Answer, Status> {
    let Some(node) = user.node() else {
        return Err(Status::new(403, "Forbidden", "images are pulled for nodes only"));
    };
    if request.method() != http::Method::POST {
        return Err(Status::new(405, "MethodNotAllowed", "POST is wanted"));
    }
    let body: Value = serde_json::from_slice(&whole(request.into_body()).await?)
        .map_err(|error| Status::bad_request(format!("the body is no JSON: {error}")))?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let image = text("image");
    let name = image
        .parse()
        .map_err(|error: herder_images::NoReference| Status::bad_request(error.to_string()))?;
    if !is_named(&context.registry, node, image) {
        let why = format!("no pod on node '{node}' has the image {image:?}");
        return Err(Status::new(403, "Forbidden", why));
    }
    let wish = Wish {
        name,
        credentials: text("credentials").to_owned(),
    };
    Ok(match context.images.pull(wish).await {
        None => answer::json(200, &json!({})),
        Some(Ok(())) => answer::json(200, &json!({"done": true})),
        Some(Err(why)) => answer::json(200, &json!({"why": why})),
    })
}
