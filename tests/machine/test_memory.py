import pytest
import torch

from seglib.config import make_config
from seglib.errors import InputError
from seglib.machine.memory import describe_division, divide_further, is_out_of_memory, refuse_single_images


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (torch.OutOfMemoryError(""), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (InputError("logits out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error, answer):
    assert is_out_of_memory(error) is answer


def test_memory_that_really_runs_out_is_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "count", "parts"),
    [
        (16, 0, 1, 2),
        (16, 1, 1, 2),
        (16, 8, 1, 16),
        (15, 0, 1, 3),
        (10, 2, 1, 5),
        (12, 2, 1, 4),
        (7, 0, 1, 7),
        (16, 2, 2, 4),
    ],
)
def test_a_batch_goes_into_twice_as_many_parts_or_the_next_number_that_divides_it(batch_size, accumulate, count, parts):
    config = make_config(batch_size=batch_size, accumulate=accumulate)
    finer = divide_further(config, at_once=batch_size // count // config.parts, count=count)
    assert finer == make_config(batch_size=batch_size, accumulate=parts)


def test_one_image_cannot_be_divided():
    with pytest.raises(InputError, match=r"out of memory at one image at once; lower image_size \(now 320\)"):
        divide_further(make_config(accumulate=16), at_once=1, count=1)


def test_the_line_says_what_changes_and_what_does_not():
    said = describe_division(at_once=16, then=8, per_step=16)
    assert said == "out of memory at 16 images at once; going on with 8 at once, 16 per step as before"


def test_one_image_alone_is_named_where_a_norm_cannot_take_it():
    norm = torch.nn.BatchNorm2d(3)
    with (
        pytest.raises(InputError, match="needs two images at once; raise batch_size, lower accumulate"),
        refuse_single_images(),
    ):
        norm(torch.zeros(1, 3, 1, 1))
    with pytest.raises(ValueError, match="^something else$"), refuse_single_images():
        raise ValueError("something else")
    with refuse_single_images():
        norm(torch.zeros(2, 3, 1, 1))
