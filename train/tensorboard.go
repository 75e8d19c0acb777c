package train

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields in tensorflow/core/util/event.proto and framework/summary.proto.
const (
	eventWallTime    = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5
	summaryValue     = 1
	valueTag         = 1
	valueSimple      = 2
)

// newEventFile starts a file that TensorBoard finds by its name. Each run of the program
// writes its own; TensorBoard joins those of a folder.
func newEventFile(dir string, now time.Time) (*eventFile, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	name := fmt.Sprintf("events.out.tfevents.%d.%s.%d", now.UnixNano()/1e3, filepath.Base(host), os.Getpid())
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	e := &eventFile{file: f, out: bufio.NewWriter(f)}
	version := protowire.AppendTag(nil, eventFileVersion, protowire.BytesType)
	version = protowire.AppendString(version, "brain.Event:2")
	if err := errors.Join(e.event(now, 0, version), e.flush()); err != nil {
		f.Close()
		return nil, err
	}
	return e, nil
}

// scalar writes the value of a curve at a step.
func (e *eventFile) scalar(now time.Time, step int, tag string, x float64) error {
	value := protowire.AppendTag(nil, valueTag, protowire.BytesType)
	value = protowire.AppendString(value, tag)
	value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
	value = protowire.AppendFixed32(value, math.Float32bits(float32(x)))
	summary := protowire.AppendTag(nil, summaryValue, protowire.BytesType)
	summary = protowire.AppendBytes(summary, value)
	body := protowire.AppendTag(nil, eventSummary, protowire.BytesType)
	return e.event(now, step, protowire.AppendBytes(body, summary))
}

// event writes one record: its length and the checksum of that, the message and its checksum.
func (e *eventFile) event(now time.Time, step int, body []byte) error {
	msg := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	msg = protowire.AppendFixed64(msg, math.Float64bits(float64(now.UnixMicro())/1e6))
	msg = protowire.AppendTag(msg, eventStep, protowire.VarintType)
	msg = protowire.AppendVarint(msg, uint64(step))
	msg = append(msg, body...)
	record := binary.LittleEndian.AppendUint64(nil, uint64(len(msg)))
	record = binary.LittleEndian.AppendUint32(record, maskedCRC(record))
	record = append(record, msg...)
	record = binary.LittleEndian.AppendUint32(record, maskedCRC(msg))
	_, err := e.out.Write(record)
	return err
}

func (e *eventFile) flush() error { return e.out.Flush() }

func (e *eventFile) close() error { return errors.Join(e.out.Flush(), e.file.Close()) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the checksum of TensorFlow's record files (tsl/lib/hash/crc32c.h).
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}
