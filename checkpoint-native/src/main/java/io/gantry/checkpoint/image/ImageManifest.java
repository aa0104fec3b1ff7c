package io.gantry.checkpoint.image;

import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.zip.CRC32C;

/**
 * {@code manifest.img}: name, size and CRC32C of every other file, those in the directory {@code parent} included, and the version of the
 * format; behind its entry stands the CRC32C of the manifest itself. The sums are there against damage, not against an attacker.
 */
final class ImageManifest {
  private static final int BLOCK_BYTES = 1 << 20;
  private static final int SUM_BYTES = 4;

  private ImageManifest() {}

  /** @param known files whose sum is known already; all others are read */
  static void write(Path directory, int version, List<image_file> known) throws IOException {
    Map<String, image_file> sums = new HashMap<>();
    known.forEach(file -> sums.put(file.getName(), file));
    var manifest = image_manifest.newBuilder().setFormatVersion(version);
    for (String name : names(directory)) {
      var sum = sums.get(name);
      if (sum == null) {
        var file = directory.resolve(name);
        sum = image_file.newBuilder().setName(name).setSize(Files.size(file)).setCrc32C(crcOf(file)).build();
        force(file);
      }
      manifest.addFiles(sum);
    }
    var file = directory.resolve(ImageFile.MANIFEST.fileName());
    ImageFile.MANIFEST.write(file, List.of(manifest.build()));
    var sum = ByteBuffer.allocate(SUM_BYTES).putInt(crcOf(file)).array();
    Files.write(file, sum, StandardOpenOption.APPEND);
    force(file);
    if (Files.isDirectory(directory.resolve(SpaceNames.PARENT))) {
      force(directory.resolve(SpaceNames.PARENT));
    }
    force(directory);
  }

  private static TreeSet<String> names(Path directory) throws IOException {
    var names = new TreeSet<String>();
    try (var files = Files.walk(directory, 2)) {
      files.filter(file -> !Files.isDirectory(file)).forEach(file -> names.add(directory.relativize(file).toString()));
    }
    names.remove(ImageFile.MANIFEST.fileName());
    return names;
  }

  private static int crcOf(Path file) throws IOException {
    var crc = new CRC32C();
    var block = ByteBuffer.allocateDirect(BLOCK_BYTES);
    try (var channel = FileChannel.open(file)) {
      while (channel.read(block) >= 0) {
        crc.update(block.flip());
        block.clear();
      }
    }
    return (int) crc.getValue();
  }

  /** Makes a file's content or a directory's entries durable. */
  static void force(Path path) throws IOException {
    try (var channel = FileChannel.open(path)) {
      channel.force(true);
    }
  }

  /** Compares everything; returns only when the directory is what was written. */
  static void verify(Path directory, int versionMax) {
    var file = directory.resolve(ImageFile.MANIFEST.fileName());
    var manifest = read(file);
    if (manifest.getFormatVersion() > versionMax) {
      throw new CheckpointException(
          "%s was written by a newer Gantry (format %d, this one understands up to %d); restore it with that version"
              .formatted(directory, manifest.getFormatVersion(), versionMax));
    }
    if (manifest.getFormatVersion() < versionMax) {
      throw new CheckpointException(
          "%s was written by an older Gantry (format %d, this one understands %d); restore it with that version"
              .formatted(directory, manifest.getFormatVersion(), versionMax));
    }
    try {
      var present = names(directory);
      for (image_file entry : manifest.getFilesList()) {
        verify(directory, entry);
        present.remove(entry.getName());
      }
      if (!present.isEmpty()) {
        throw new CheckpointException(directory + " holds files that do not belong to it: " + present + "; remove them");
      }
    } catch (IOException e) {
      throw new CheckpointException("reading " + directory + " failed: " + e, e);
    }
  }

  private static void verify(Path directory, image_file entry) throws IOException {
    var file = directory.resolve(entry.getName());
    if (!Files.isRegularFile(file)) {
      throw new CheckpointException(file + " is missing; the directory was copied incompletely, copy it again");
    }
    if (Files.size(file) != entry.getSize()) {
      throw new CheckpointException(
          "%s has %d bytes and should have %d; it was cut off or changed, copy the directory again"
              .formatted(file, Files.size(file), entry.getSize()));
    }
    if (crcOf(file) != entry.getCrc32C()) {
      throw new CheckpointException(file + " is damaged: its checksum differs; copy the directory again from a good source");
    }
  }

  private static image_manifest read(Path file) {
    try {
      byte[] all = Files.readAllBytes(file);
      int length = all.length - SUM_BYTES;
      var crc = new CRC32C();
      crc.update(all, 0, Math.max(0, length));
      byte[] header = ImageFile.MANIFEST.header();
      int from = header.length + Integer.BYTES;
      if (length < from || ByteBuffer.wrap(all).getInt(length) != (int) crc.getValue()) {
        throw new CheckpointException(file + " is damaged or cut off; copy the directory again from a good source");
      }
      return image_manifest.parseFrom(ByteBuffer.wrap(all, from, length - from));
    } catch (NoSuchFileException e) {
      throw new CheckpointException(
          file.getParent() + " is no image directory: " + file.getFileName() + " is missing; was it written by \"gantry checkpoint\"?", e);
    } catch (IOException e) {
      throw new CheckpointException("reading " + file + " failed: " + e, e);
    }
  }
}
