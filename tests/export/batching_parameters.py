"""TensorFlow Serving's BatchingParameters message, which no package has, from its published definition."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

Field = descriptor_pb2.FieldDescriptorProto
INT64, STRING = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"


def batching_parameters():
    """A new message: session_bundle_config.proto of tensorflow/serving, fields by name, number and type."""
    file = descriptor_pb2.FileDescriptorProto(
        name="batching_parameters_for_tests.proto",
        package="tensorflow.serving.tests",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    for number, (name, kind) in enumerate(
        {
            "max_batch_size": INT64,
            "batch_timeout_micros": INT64,
            "max_enqueued_batches": INT64,
            "num_batch_threads": INT64,
            "thread_pool_name": STRING,
        }.items(),
        start=1,
    ):
        message.field.add(name=name, number=number, type=Field.TYPE_MESSAGE, type_name=kind, label=Field.LABEL_OPTIONAL)
    message.field.add(name="allowed_batch_sizes", number=6, type=Field.TYPE_INT64, label=Field.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=Field.TYPE_BOOL, label=Field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.tests.BatchingParameters"))()
