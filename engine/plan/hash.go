package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"

	"devstack/compose"
)

// ServiceHash identifies the part of a service that a container is made from:
// two containers of one hash and image are alike. What only steers how the
// engine treats the service (dependencies, scale, profiles, pull policy,
// watch rules) is left out, as in Compose.
func ServiceHash(s compose.Service) string {
	s.Build = nil
	s.PullPolicy = ""
	s.Scale = nil
	s.DependsOn = nil
	s.Profiles = nil
	s.Develop = nil
	s.Extends = nil
	s.EnvFile = nil
	s.LabelFile = nil
	s.Attach = nil
	if _, own := s.Extensions[compose.ExtensionKey]; own {
		s.Extensions = maps.Clone(s.Extensions)
		delete(s.Extensions, compose.ExtensionKey)
	}
	if s.Deploy != nil {
		d := *s.Deploy
		d.Replicas = nil
		d.UpdateConfig, d.RollbackConfig = nil, nil
		s.Deploy = &d
	}
	return Hash(s)
}

// NetworkHash identifies how a network was declared.
func NetworkHash(n compose.Network) string { return Hash(n) }

// Hash identifies a plain value by its JSON form.
func Hash(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the model is plain values: it always encodes
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
