/** The state model (CRIU's image schema as protobuf messages) and its files. */
package io.gantry.checkpoint.image;
