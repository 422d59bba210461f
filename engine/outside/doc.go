// Package outside settles what a project uses and no container of ours is:
// models, services with a provider, external configs and secrets. Clients do so
// before they send a project, the engine when a watch has loaded it again; only
// clients ask providers, and what these have set goes with the project's record
// (api.Meta).
package outside
