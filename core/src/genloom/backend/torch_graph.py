"""Turn a captured graph of ATen operations into straight Python that does the same work in fewer calls.

On small networks a call costs more than its arithmetic. What depends on nothing but shapes is computed once, views of
variables are taken once, and the rest goes through torch's own Python bindings, which are twice as fast as the
dispatcher's. The kernels and their order stay, so the values do too, bit by bit.
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from genloom.files.caches import folder_to_keep

__all__ = ["DIRECT", "compiled_by_inductor", "replayed"]

aten = torch.ops.aten

#: Operation -> the binding that takes the same arguments.
DIRECT: dict[Any, Callable[..., Any]] = {
    aten.add.Tensor: torch.add,
    aten.bmm.default: torch.bmm,
    aten.cat.default: torch.cat,
    aten.clamp.default: torch.clamp,
    aten.cos.default: torch.cos,
    aten.div.Scalar: torch.div,
    aten.div.Tensor: torch.div,
    aten.exp.default: torch.exp,
    aten.expand.default: torch.Tensor.expand,
    aten.leaky_relu.default: torch._C._nn.leaky_relu,
    aten.log.default: torch.log,
    aten.mean.default: torch.mean,
    aten.mm.default: torch.mm,
    aten.mul.Scalar: torch.mul,
    aten.mul.Tensor: torch.mul,
    aten.neg.default: torch.neg,
    aten.permute.default: torch.permute,
    aten.pow.Tensor_Scalar: torch.pow,
    aten.pow.Tensor_Tensor: torch.pow,
    aten.relu.default: torch.relu,
    aten.rsub.Scalar: torch.rsub,
    aten.select.int: torch.select,
    aten.sigmoid.default: torch.sigmoid,
    aten.silu.default: torch._C._nn.silu,
    aten.sin.default: torch.sin,
    aten.sqrt.default: torch.sqrt,
    aten.sub.Tensor: torch.sub,
    aten.sum.default: torch.sum,
    aten.sum.dim_IntList: torch.sum,
    aten.t.default: torch.t,
    aten.tanh.default: torch.tanh,
    aten.unsqueeze.default: torch.unsqueeze,
    aten.view.default: torch.Tensor.view,
}

# Without autograd these only rename a tensor.
_ALIASES = (aten.detach.default, aten.alias.default)
# They read no more of their first argument than its shape, type and device.
_SHAPED_LIKE = (aten.ones_like.default, aten.zeros_like.default, aten.full_like.default)
_MOST_FOLDED = 1 << 18  # bytes of a tensor that is worth keeping


def compiled_by_inductor(module: GraphModule) -> Callable[..., tuple[Any, ...]]:
    """Return a function of the graph's inputs, compiled at its first call; `module` stays as it was.

    Random numbers stay those of torch's own generator, so that a compiled step draws what an eager one does.
    """
    _keep_compilations()
    graph = torch.fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    for node in graph.nodes:
        node.target = _adam if node.target is aten._fused_adam_.tensor_lr else node.target
    return torch.compile(GraphModule(module, graph), fullgraph=True, dynamic=False, options={"fallback_random": True})


def _keep_compilations() -> None:
    """Have Inductor keep what it compiles in the user's own folder, not in one that all users share.

    Its variable is set by torch itself as soon as it traces anything: to its default, unless the user chose.
    """
    from torch._inductor.runtime import cache_dir_utils  # more than a second, which only those who compile pay

    variable, shared = "TORCHINDUCTOR_CACHE_DIR", cache_dir_utils.default_cache_dir()
    if os.environ.get(variable, shared) == shared and (folder := folder_to_keep("inductor")) is not None:
        os.environ[variable] = str(folder)


def _adam(
    variables: Any, gradients: Any, means: Any, squares: Any, _: Any, steps: Any, *, lr: Any, beta1: float,
    beta2: float, eps: float, **__: Any,
) -> None:  # fmt: skip
    """The update of torch's fused kernel after many steps, in operations that Inductor fuses itself."""
    for x, g, m, v in zip(variables, gradients, means, squares, strict=True):
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        x.sub_(lr * m / (v.sqrt() + eps))


@torch.no_grad()
def replayed(module: GraphModule) -> Callable[..., tuple[Any, ...]]:
    """Return a function of the graph's inputs that computes its outputs; `module` is used up."""
    _drop_aliases(module)
    _drop_unused(module)
    constants = _folded(module)
    return _function(module, constants)


def _drop_aliases(module: GraphModule) -> None:
    for node in list(module.graph.nodes):
        if node.target in _ALIASES:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)


def _drop_unused(module: GraphModule) -> None:
    for node in reversed(list(module.graph.nodes)):
        if not node.users and _pure(node):
            module.graph.erase_node(node)


def _pure(node: Node) -> bool:
    """Whether a node only computes: it changes nothing and draws nothing."""
    if node.op == "get_attr" or node.target is operator.getitem:
        return True
    schema = getattr(node.target, "_schema", None)
    random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    return node.op == "call_function" and schema is not None and not schema.is_mutable and not random


def _shares(node: Node) -> bool:
    """Whether a node's result may be memory of its inputs."""
    return node.target is operator.getitem or _is_view(node)


def _is_view(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)


def _written(graph: torch.fx.Graph) -> set[Node]:
    """Nodes whose memory an operation changes, and what they may be views of."""
    found: set[Node] = set()
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and schema.is_mutable:
            pending = list(node.all_input_nodes)
            while pending:
                source = pending.pop()
                if source not in found:
                    found.add(source)
                    pending.extend(source.all_input_nodes if _shares(source) else ())
    return found


def _folded(module: GraphModule) -> dict[Node, torch.Tensor]:
    """Return the nodes that are the same in every replay, with their tensors.

    These are variables and views of them, whose memory stays where it is, and what follows from shapes alone.
    """
    written, outputs = _written(module.graph), set(module.graph.output_node().all_input_nodes)
    places: dict[Node, torch.Tensor] = {}  # their contents may change, where they are does not
    values: dict[Node, torch.Tensor] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            places[node] = getattr(module, node.target).detach()
        elif node.op != "call_function" or not _pure(node) or not hasattr(node.target, "_schema"):
            continue
        elif _is_view(node) and node.all_input_nodes[0] in places:
            places[node] = _computed(node, places)
        elif node not in written and node not in outputs and _constant(node, values):
            result = _computed(node, {i: values.get(i, places.get(i)) for i in node.all_input_nodes})
            if isinstance(result, torch.Tensor) and result.untyped_storage().nbytes() <= _MOST_FOLDED:
                values[node] = result
    return places | values


def _constant(node: Node, values: dict[Node, torch.Tensor]) -> bool:
    """Whether a node's result is the same in every replay."""
    if node.target is aten.lift_fresh_copy.default:  # a number that the traced code turned into a tensor
        return node.all_input_nodes[0].op == "get_attr"
    return node.target in _SHAPED_LIKE or all(i in values for i in node.all_input_nodes)


def _computed(node: Node, known: dict[Node, Any]) -> Any:
    def of(source: Node) -> Any:
        return _shaped_like(source) if known[source] is None else known[source]

    return node.target(*torch.fx.map_arg(node.args, of), **torch.fx.map_arg(node.kwargs, of))


def _shaped_like(node: Node) -> torch.Tensor:
    """Return a tensor of a node's shape, strides, type and device."""
    seen = node.meta["val"]
    return torch.empty_strided(seen.shape, seen.stride(), dtype=seen.dtype, device=seen.device)


def _function(module: GraphModule, constants: dict[Node, torch.Tensor]) -> Callable[..., tuple[Any, ...]]:
    """Let FX write the graph as one Python function over torch's bindings, what stays the same passed in."""
    graph = module.graph
    for node in graph.nodes:
        node.target = DIRECT.get(node.target, node.target) if node.op == "call_function" else node.target
    with graph.inserting_before(next(iter(graph.nodes))):
        for node in constants:
            node.replace_all_uses_with(graph.placeholder(f"known_{node.name}"))
            graph.erase_node(node)
    module.recompile()
    return functools.partial(module.forward, *constants.values())
