"""Every network of the table, for operations that GPUs have in no deterministic form (meta tensors: no GPU is needed)."""

import pytest

from deep_cnn.models.build import ModelSpec, check_image_size, empty_model, weights_preprocessing
from deep_cnn.models.determinism import NOT_DETERMINISTIC, operations, with_matrix_pools
from deep_cnn.models.zoo import networks

REFUSED = {"googlenet": {"_adaptive_avg_pool2d_backward"}}


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.names())
def test_a_network_has_deterministic_kernels(name):
    side = weights_preprocessing(name, "none").crop
    check_image_size(name, side)
    model = with_matrix_pools(empty_model(ModelSpec(name, 5)))
    assert operations(model, side) & NOT_DETERMINISTIC == REFUSED.get(name, set())
