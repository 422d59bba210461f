// Package volumes owns the data that outlives containers: named and anonymous
// volumes under the data root, their records, their first-use population from
// an image, and the checks on bind sources.
//
// A volume is a directory:
//
//	volumes/NAME/volume.json   the record
//	volumes/NAME/_data         what containers see
//	volumes/NAME/_fill         a population under way; worthless after a crash
//	volumes/NAME/_fill.done    a finished population being moved into _data
//	volumes/.new-*, .trash-*   volumes being made and being deleted
//
// The package never mounts anything on the host: [Volume.Mount] says what the
// runtime shall mount inside the container. It never decides whether a volume
// is still in use; its caller, the engine, knows that. One process at a time
// uses a data root.
package volumes
