// Package fetch brings images into the store from wherever their references
// say: registries, OCI layouts, archives. It decides by policy whether the
// source is asked at all, and has every layer downloaded, verified and
// unpacked once, however many ask for it.
package fetch
