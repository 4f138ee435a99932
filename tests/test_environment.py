"What is promised of the environment: versions that are tested, and processors of either kind"
import os, subprocess, sys
from importlib import metadata, util
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent

@pytest.fixture
def oldest():
    "The script that makes constraints for pip of the lower bounds in settings.ini"
    spec = util.spec_from_file_location('oldest', ROOT/'.ci/oldest.py')
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def test_each_lower_bound_is_one_that_is_installed_and_tested(oldest):
    "Every requirement of the library has one; what is installed here is not older"
    required = oldest.lines(ROOT/'settings.ini', 'requirements')
    assert len(required) > 8
    for line in required:
        name, _, version = oldest.oldest(line).partition('==')
        assert Requirement(line).specifier.contains(version), line
        assert Requirement(line).specifier.contains(metadata.version(name), prereleases=True), (
            line,
            metadata.version(name),
        )

@pytest.mark.parametrize('line, constraint', [('torch>=2.6', 'torch==2.6'), ('nbdev >= 3.3.26, <4', 'nbdev==3.3.26'),
                                              ('numpy', None), ('numpy<3', None)])
def test_a_requirement_without_a_lower_bound_is_noticed(line, constraint, oldest):
    assert oldest.oldest(line) == constraint

def test_the_other_kind_of_processor_can_be_seen():
    """With .ci/other on PYTHONPATH, gan_nb hears the other answer to whether there is bfloat16, and PyTorch itself the
    true one"""
    question = ('import torch; from gan_nb.engines import autocast_dtype; '
                'print(autocast_dtype(torch.device("cpu"), "auto"),'
                ' torch.cpu._is_avx512_bf16_supported(), torch.cpu._is_amx_tile_supported())')
    def answer(**env):
        return subprocess.run([sys.executable, '-c', question], env=os.environ | env, capture_output=True, text=True,
                              check=True).stdout.split()
    before = os.environ.get('PYTHONPATH', '')
    here, there = answer(), answer(PYTHONPATH=os.pathsep.join([str(ROOT/'.ci/other'), *([before] if before else [])]))
    assert {here[0], there[0]} == {'None', 'torch.bfloat16'} and here[1:] == there[1:]
