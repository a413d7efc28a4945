"""Torch's files written without torch, hostile ones too."""

import io
import pickle
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C


class Global:
    """Pickles as the global `module.name`."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickles as a call of a global, with a state if one is there."""

    def __init__(self, module, name, *arguments, state=None):
        self.function, self.arguments, self.state = Global(module, name), arguments, state


class Storage:
    """Pickles as torch's persistent id of a storage; `view` is the sixth member of the old form."""

    def __init__(self, kind, key, count, *view):
        self.kind, self.key, self.count, self.view = Global("torch", kind), key, count, view


class Pickler(pickle._Pickler):  # the Python one: its dispatch can write names that do not exist
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", obj.kind, obj.key, "cpu", obj.count, *obj.view)
        return None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(b"R")
            if obj.state is not None:
                self.save(obj.state)
                self.write(b"b")
        else:
            super().save(obj, save_persistent_id)

    def memoize(self, obj):
        if not isinstance(obj, (Global, Call, Storage)):
            super().memoize(obj)


def pickled(content):
    stream = io.BytesIO()
    Pickler(stream, 2).dump(content)
    return stream.getvalue()


def torch_zip(path, content, storages=(), compression=zipfile.ZIP_STORED):
    """A zip as torch.save writes it; `content` may be the bytes of a pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        program = content if isinstance(content, bytes) else pickled(content)
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", "little")
        for key, data in storages:
            archive.writestr(f"archive/data/{key}", data)
    return path


def torch_legacy(path, content, storages=(), *, little=True, counts=None):
    """A file as torch before 1.6; `storages` are (key, array); `counts` what is claimed of each."""
    system = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"long": 4}}
    program = content if isinstance(content, bytes) else pickled(content)
    headers = b"".join(pickle.dumps(header, 2) for header in (MAGIC, 1001, system))
    raw = b""
    for i, (_, array) in enumerate(storages):
        count = array.size if counts is None else counts[i]
        raw += np.int64(count).tobytes() + array.tobytes()
    keys = pickle.dumps([key for key, _ in storages], 2)
    path.write_bytes(headers + program + keys + raw)
    return path


def tensor(kind, key, count, offset, size, stride, *view):
    storage = Storage(kind, key, count, *view)
    return Call("torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False, {})


def tensors(arrays, *view):
    """The tensors of float32 arrays in storages of their own, and (key, array) of each storage."""
    content, storages = {}, []
    for i, (name, value) in enumerate(arrays.items()):
        value = np.ascontiguousarray(value, np.float32)
        strides = tuple(stride // 4 for stride in value.strides)
        content[name] = tensor("FloatStorage", str(i), value.size, 0, value.shape, strides, *view)
        storages.append((str(i), value))
    return content, storages


def pickled_tensors(arrays, folder):
    """float32 tensors as `pickle.dump` writes them: each storage is a file of the old form."""
    content = {}
    for name, value in arrays.items():
        storage = Storage("FloatStorage", "7", value.size, None)
        path = torch_legacy(folder / "inner", storage, [("7", value)])
        inner = Call("torch.storage", "_load_from_bytes", path.read_bytes())
        path.unlink()
        strides = tuple(stride // 4 for stride in value.strides)
        content[name] = Call(
            "torch._utils", "_rebuild_tensor_v2", inner, 0, value.shape, strides, False, {}
        )
    return content
