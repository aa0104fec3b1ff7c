/**
 * The state model (CRIU's image schema as protobuf messages) and its files. {@code ImageDirectoryWriter} takes a stream down, whole and as
 * CRIU's files ({@code CriuImages}, {@code FinalPages}); {@code ImageDirectoryReader} feeds it back, or what CRIU wrote
 * ({@code CriuDirectory}). What is in such a directory is told in {@code docs/images.md}. Nothing here touches a process.
 */
package io.gantry.checkpoint.image;
