"""What programs of several ranks share; prepended to each."""

TRAINING = """
import math, os
import gradcore
from torch import distributed as dist

def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1))

def backward(net, seed=0):
    torch.manual_seed(100 + seed)
    net.zero_grad()
    net(torch.randn(4, 7)).square().sum().backward()

def sharded(shape=None, names=None):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    net = network()
    fully_shard(net, mesh=init_device_mesh("cpu", shape or (SIZE,), mesh_dim_names=names))
    return net

def elements(net):
    whole = [getattr(p.detach(), "full_tensor", p.detach)() for p in net.parameters()]
    return torch.cat([t.double().flatten() for t in whole]).tolist()

def told(report):
    return repr((report.to_dict(), list(report.parameters)))

reduced = []
all_reduce = dist.all_reduce
def counting(*arguments, **keywords):
    reduced.append(arguments[0].numel())
    return all_reduce(*arguments, **keywords)
dist.all_reduce = counting
"""
