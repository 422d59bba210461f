// Package credentials finds, keeps and removes passwords for registries where
// Docker and Podman do: DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE, config.json in
// DOCKER_CONFIG, Podman's auth.json, and the helpers (docker-credential-NAME)
// that these files name.
//
// Everything depends on an environment that is given, never on that of the
// process: an engine serves many clients.
package credentials
