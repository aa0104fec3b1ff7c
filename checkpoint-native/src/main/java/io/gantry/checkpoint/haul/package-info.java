/**
 * Files that travel with a container because the destination does not share them: trees of files, sent in passes while the container runs and for the last
 * time while it stands still. What may come in: how a tree is watched, read, compared, sent, built again, put in its place and taken from it. What must not:
 * actors, and what the container's processes are, except for which files they have mapped.
 */
package io.gantry.checkpoint.haul;
