package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"lep/tensor"
)

// shard is one planned file.
type shard struct {
	name    string
	header  []byte
	tensors []pending // with their offsets in this file
	size    int64
}

// plan cuts the tensors into shards as huggingface_hub's
// split_state_dict_into_shards_factory does: greedily in order, a tensor above
// the limit alone.
func (w *Writer) plan() ([]shard, error) {
	if err := w.opts.Validate(); err != nil {
		return nil, err
	}
	if len(w.tensors) == 0 {
		return nil, fmt.Errorf("%s: no tensors to write", w.dir)
	}
	var (
		groups  [][]pending
		current []pending
		filled  int64
	)
	for _, t := range w.tensors {
		if t.End > w.opts.MaxShardSize {
			groups = append(groups, []pending{t})
			continue
		}
		if filled+t.End > w.opts.MaxShardSize {
			groups = append(groups, current)
			current, filled = nil, 0
		}
		current, filled = append(current, t), filled+t.End
	}
	if len(current) > 0 {
		groups = append(groups, current)
	}
	shards := make([]shard, len(groups))
	for i, g := range groups {
		s, err := layOut(g)
		if err != nil {
			return nil, err
		}
		s.name = w.opts.BaseName + ".safetensors"
		if len(groups) > 1 {
			s.name = fmt.Sprintf("%s-%05d-of-%05d.safetensors", w.opts.BaseName, i+1, len(groups))
		}
		shards[i] = s
	}
	return shards, nil
}

// fileOrder is how the format's own library orders element types in a file, wide
// ones first so that every tensor is aligned; names order tensors of one type.
var fileOrder = []tensor.DType{tensor.U64, tensor.I64, tensor.F64, tensor.C64, tensor.F32, tensor.U32, tensor.I32, tensor.BF16, tensor.F16,
	tensor.U16, tensor.I16, tensor.F8E8M0, tensor.F8E4M3, tensor.F8E5M2, tensor.I8, tensor.U8, tensor.Bool}

func layOut(tensors []pending) (shard, error) {
	slices.SortFunc(tensors, func(a, b pending) int {
		return cmp.Or(cmp.Compare(slices.Index(fileOrder, a.DType), slices.Index(fileOrder, b.DType)), cmp.Compare(a.Name, b.Name))
	})
	var at int64
	entries := make([]Entry, len(tensors))
	for i := range tensors {
		t := &tensors[i]
		n := t.End - t.Begin
		t.Begin, t.End = at, at+n
		at += n
		if at < 0 {
			return shard{}, errors.New("more bytes of tensors than a file can have")
		}
		entries[i] = t.Entry
	}
	header, err := encodeHeader(entries, map[string]string{"format": "pt"})
	if err != nil {
		return shard{}, err
	}
	header = alignForSharing(header, tensors)
	return shard{header: header, tensors: tensors, size: int64(len(header)) + at}, nil
}

// File systems that share blocks between files do so only where both files have
// the data at the same place of a block. The format allows blanks behind the
// header, so the longest copied range is moved to such a place, if it is long
// enough to be worth it.
const (
	blockSize  = 4096
	worthShare = 16 << 20
)

func alignForSharing(header []byte, tensors []pending) []byte {
	var longest, shift int64
	for i := 0; i < len(tensors); {
		n := run(tensors[i:])
		first, last := tensors[i], tensors[i+n-1]
		if size := last.End - first.Begin; first.from != nil && size > longest {
			longest = size
			shift = (first.from.start + first.source.Begin - int64(len(header)) - first.Begin) % blockSize
		}
		i += n
	}
	if shift < 0 {
		shift += blockSize
	}
	if longest < worthShare || shift%headerAlign != 0 {
		return header
	}
	header = append(header, bytes.Repeat([]byte{' '}, int(shift))...)
	binary.LittleEndian.PutUint64(header, uint64(len(header)-prefixSize))
	return header
}

// run returns how many of the first tensors lie side by side in one source file
// too, so that they can be copied as one range.
func run(tensors []pending) int {
	n := 1
	for tensors[0].from != nil && n < len(tensors) && tensors[n].from == tensors[0].from && tensors[n].source.Begin == tensors[n-1].source.End {
		n++
	}
	return n
}
