"""The requests that a SavedModel brings for its server's own use."""

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

MOST = 1000  # that a server takes


def check_warm_up(folder, loaded, name, signatures, batches):
    """Each signature is asked for each size of a batch that the server makes, and answers."""
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests"))
    ]
    assert len(logs) <= MOST
    asked_for = set()
    for log in logs:
        request = log.predict_log.request
        assert request.model_spec.name == name
        inputs = {key: tf.constant(tf.make_ndarray(tensor)) for key, tensor in request.inputs.items()}
        answer = loaded.signatures[request.model_spec.signature_name](**inputs)
        assert {row.numpy() for row in answer.get("status", [])} <= {b"ok"}
        [batch] = {len(values) for values in inputs.values()}
        asked_for.add((request.model_spec.signature_name, batch))
    assert asked_for == {(signature, batch) for signature in signatures for batch in batches}
    assert len(logs) == len(asked_for)
