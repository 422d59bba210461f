package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"devstack/network/ipam"
)

const recordVersion = 1

// networkRecord is DATA/networks/NAME.json: what a network keeps over restarts
// of the engine and of the machine.
type networkRecord struct {
	Version int                     `json:"version"`
	Spec    Spec                    `json:"spec"`
	Pools   []Pool                  `json:"pools"` // with what was chosen
	Sticky  map[string][]netip.Addr `json:"sticky,omitempty"`
}

// sandboxRecord is RUN/sandboxes/ID.json: what the next engine needs to take a
// running container over. It goes with the machine.
type sandboxRecord struct {
	Version   int              `json:"version"`
	Endpoints []endpointRecord `json:"endpoints"`
}

type endpointRecord struct {
	Spec     EndpointSpec `json:"spec"`
	Endpoint Endpoint     `json:"endpoint"`
	Host     string       `json:"host"` // name of the interface's end on the bridge
}

// writeRecord replaces the file at path in one step. It is not synced: a record
// lost to a power cut costs a network its sticky addresses, a sync would cost
// every container its milliseconds. A torn file reads as no file.
func writeRecord(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// readRecord reports false where there is no usable record.
func readRecord(path string, v any) bool {
	data, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(data, v) == nil
}

func removeRecord(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// checkName refuses what would leave the records' directory.
func checkName(kind, name string) error {
	if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") || len(name) > 200 {
		return fmt.Errorf("%s name %q is not usable", kind, name)
	}
	return nil
}

func stickyOf(pools []*ipam.Leases) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for _, l := range pools {
		for key, a := range l.State() {
			out[key] = append(out[key], a)
		}
	}
	return out
}
