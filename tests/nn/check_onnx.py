"""Checks an exported model with the tools of others: check_onnx.py FOLDER

FOLDER holds model.onnx, pixels.bin (count, C, H, W) uint8 and probabilities.bin (count, labels) f32.
The model must satisfy ONNX's own checker, name its labels, and give the same probabilities in OpenCV,
one image at a time and, where it can, all at once. Exit 77: the tools are not installed.
"""

import json
import sys

try:
    import cv2
    import numpy as np
    import onnx
except ImportError as missing:
    print(f"needs Debian's python3-onnx and python3-opencv: {missing}")
    sys.exit(77)

TOLERANCE = 1e-4


def shape_of(value):
    dims = value.type.tensor_type.shape.dim
    return [d.dim_param if d.HasField("dim_param") else d.dim_value for d in dims]


def check_form(model):
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 7, model.ir_version
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)], model.opset_import
    assert model.producer_name == "nightshift" and model.producer_version
    (image,), (probabilities,) = model.graph.input, model.graph.output
    assert image.name == "image" and probabilities.name == "probabilities"
    assert shape_of(image)[0] == "batch" and shape_of(probabilities)[0] == "batch"
    labels = json.loads({p.key: p.value for p in model.metadata_props}["labels"])
    assert len(labels) == shape_of(probabilities)[1], labels
    return shape_of(image)[1:], labels


def gates_stop_batches(model):
    """OpenCV before 4.7 multiplies a map by a gate (N, C, 1, 1) for one image only."""
    products = [node for node in model.graph.node if node.op_type == "Mul"]
    gated = any(all(name.startswith("value_") for name in node.input) for node in products)
    return gated and tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 7)


def run(net, images):
    net.setInput(images, "image")
    return net.forward("probabilities")


def main(folder):
    model = onnx.load(f"{folder}/model.onnx")
    shape, labels = check_form(model)
    pixels = np.fromfile(f"{folder}/pixels.bin", np.uint8).reshape(-1, *shape).astype(np.float32)
    want = np.fromfile(f"{folder}/probabilities.bin", np.float32).reshape(len(pixels), len(labels))
    for batch in (1,) if gates_stop_batches(model) else (1, len(pixels)):
        net = cv2.dnn.readNetFromONNX(f"{folder}/model.onnx")
        for first in range(0, len(pixels), batch):
            got = run(net, pixels[first : first + batch])
            assert got.shape == (batch, len(labels)), got.shape
            difference = np.abs(got - want[first : first + batch]).max()
            assert difference <= TOLERANCE, f"batch {batch}: got {got}, want {want}"
        print(f"batch {batch}: largest difference of the last one {difference:.1e}")


if __name__ == "__main__":
    main(sys.argv[1])
