"""torchvision's Faster R-CNN with weights under which its parts are alive: statistics that have been measured, offsets
and scores that differ by place, class and channel."""

import numpy as np
import torch

from reskeras.porting.port import random_images

SIDE = 192


def lively(network, seed=0):
    """`network` in evaluation, its weights random; several classes and many proposals pass all thresholds."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(np.float32(np.moveaxis(random_images(SIDE, SIDE, 3), -1, 1)) / 255 - 0.45) / 0.225
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                # a residual is less than its stream, as in trained networks: else rounding grows with every unit
                size = 0.2 if ".body." in name and name.endswith(("bn3", "1.bn2")) else 1.0
                module.momentum = 1.0
                module.weight.uniform_(0.5 * size, 1.5 * size, generator=generator)
                module.bias.uniform_(-0.2 * size, 0.2 * size, generator=generator)
            elif isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and module.bias is not None:
                module.bias.uniform_(-0.1, 0.1, generator=generator)
        features = network.backbone.train()(images)
        network.backbone.eval()
        looked = [network.rpn.head.conv(each) for each in features.values()]
        for layer, spread in ((network.rpn.head.cls_logits, 2.0), (network.rpn.head.bbox_pred, 0.3)):
            layer.weight.normal_(0, 1, generator=generator)
            layer.weight *= spread / torch.cat([layer(each).flatten() for each in looked]).std()
        heads = network.roi_heads
        corners = torch.rand([len(images), 64, 2], generator=generator) * SIDE * 0.6
        sides = torch.rand([len(images), 64, 2], generator=generator) * SIDE * 0.4
        boxes = list(torch.cat([corners, corners + sides + 8], dim=-1))
        for module in heads.box_head.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.kaiming_normal_(module.weight, generator=generator)
        pooled = heads.box_roi_pool(features, boxes, [(SIDE, SIDE)] * len(images))
        regions = heads.box_head.train()(pooled)
        heads.box_head.eval()
        middle = regions.mean(0)
        for layer, spread in ((heads.box_predictor.cls_score, 2.0), (heads.box_predictor.bbox_pred, 1.0)):
            layer.weight.normal_(0, 1, generator=generator)
            layer.weight *= spread / ((regions - middle) @ layer.weight.T).std()
            layer.bias.uniform_(-0.3, 0.3, generator=generator)
            layer.bias -= middle @ layer.weight.T
        heads.box_predictor.cls_score.bias[0] += 1.0
    return network.eval()
