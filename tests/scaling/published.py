"""Published training throughput in images a second: network and its fields, device, cluster, images on each, precision.

NVIDIA's networks and timm's have the stride in the 3x3 convolution (v1.5).
"""

TF1 = "NVIDIA DeepLearningExamples, TensorFlow/Classification/ConvNets/resnet50v1.5, 20.06, XLA"
TF1_NEXT = "NVIDIA DeepLearningExamples, TensorFlow/Classification/ConvNets/resnext101-32x4d, 20.06, XLA"
MXNET = "NVIDIA DeepLearningExamples, MxNet/Classification/RN50v1.5, 20.12"
TIMM = "timm, results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv"
FFCV = "ffcv-imagenet, README: epochs and minutes, with evaluations, at 160 to 192 pixels; here at 160"
RESNET_50 = {"source": "resnet-50", "stride_on": "3x3"}
RESNEXT = {"depth": 101, "groups": 32, "inner_factor": 2.0, "stride_on": "3x3"}
HALF, SINGLE = "mixed_float16", "float32"
IMAGES = 1_281_167

PUBLISHED = [
    (RESNET_50, "a100", "1x1", 256, HALF, 2375, TF1),
    (RESNET_50, "a100", "1x8", 256, HALF, 17_400, TF1),
    (RESNET_50, "a100", "1x1", 256, SINGLE, 909, TF1),
    (RESNET_50, "a100", "1x8", 256, SINGLE, 7000, TF1),
    (RESNET_50, "v100", "1x1", 256, HALF, 1270, TF1),
    (RESNET_50, "v100", "1x8", 256, HALF, 9510, TF1),
    (RESNET_50, "v100", "1x1", 128, SINGLE, 412, TF1),
    (RESNET_50, "v100-32", "1x1", 128, SINGLE, 432, TF1),
    (RESNET_50, "v100-32", "1x16", 256, HALF, 17_250, TF1),
    (RESNEXT, "a100", "1x1", 256, HALF, 1132, TF1_NEXT),
    (RESNEXT, "a100", "1x8", 128, SINGLE, 2854, TF1_NEXT),
    (RESNEXT, "v100", "1x8", 128, HALF, 4160, TF1_NEXT),
    (RESNET_50, "a100-80", "1x1", 256, HALF, 2180, MXNET),
    (RESNET_50, "a100-80", "1x8", 256, HALF, 16_925, MXNET),
    (RESNET_50, "a100-80", "1x8", 256, SINGLE, 8001, MXNET),
    (RESNET_50, "v100", "1x8", 192, HALF, 10_723, MXNET),
    (RESNET_50, "v100-32", "1x1", 256, HALF, 1492, MXNET),
    (RESNET_50, "v100-32", "1x16", 128, SINGLE, 6338, MXNET),
    ({"source": "resnet-18-B"}, "rtx-3090", "1x1", 512, HALF, 3482, TIMM),
    ({"source": "resnet-34-B"}, "rtx-3090", "1x1", 512, HALF, 2037, TIMM),
    (RESNET_50, "rtx-3090", "1x1", 512, HALF, 1218, TIMM),
    ({**RESNET_50, "source": "resnet-152"}, "rtx-3090", "1x1", 192, HALF, 501, TIMM),
    ({"source": "resnet-50-d"}, "rtx-3090", "1x1", 384, HALF, 1078, TIMM),
    ({"source": "se-resnet-50"}, "rtx-3090", "1x1", 384, HALF, 972, TIMM),
    ({"source": "resnext-50-32x4d"}, "rtx-3090", "1x1", 384, HALF, 1001, TIMM),
    ({"source": "resnext-101-32x8d"}, "rtx-3090", "1x1", 128, HALF, 313, TIMM),
    ({"source": "wide-resnet-50-2"}, "rtx-3090", "1x1", 384, HALF, 669, TIMM),
    ({"source": "wide-resnet-101-2"}, "rtx-3090", "1x1", 192, HALF, 359, TIMM),
    ({"source": "preact-50", "stride_on": "3x3"}, "rtx-3090", "1x1", 512, HALF, 1289, TIMM),
    ({"source": "vgg-19"}, "rtx-3090", "1x1", 384, HALF, 457, TIMM),
    ({"source": "inception-v4"}, "rtx-3090", "1x1", 192, HALF, 405, TIMM),
    ({"source": "inception-resnet-v2-released"}, "rtx-3090", "1x1", 192, HALF, 359, TIMM),
    ({**RESNET_50, "input_shape": [160, 160, 3]}, "a100", "1x8", 128, HALF, 24 * IMAGES / (21.7 * 60), FFCV),
]
