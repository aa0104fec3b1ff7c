package io.gantry.actors.ledger;

import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.OciSpec;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.zip.CRC32C;

/**
 * The form of a ledger's records on disk. A record is
 *
 * <pre>
 *   u32 length of the body │ u32 CRC32C over length and body │ body: u8 type, fields
 * </pre>
 *
 * Numbers are big-endian; a string is a u32 length and UTF-8 bytes. Statuses are numbers of their own, not ordinals, so that
 * the enum may be rearranged.
 */
final class LedgerCodec {
  static final int HEADER_BYTES = 8;

  /** Longest body; an environment may have two megabytes ({@code man 2 execve}, limits on size of arguments and environment). */
  static final int BODY_BYTES_MAX = 8 << 20;

  /** Reads of the body: which kind of record it is. */
  sealed interface Record {}

  /** The first record of a file. */
  record Identity(String id) implements Record {}

  /** The ledger was opened. */
  record Opened(long incarnation) implements Record {}

  record Entry(LedgerEntry entry) implements Record {}

  /** Kept by compaction for an earlier OWNED that is not the last entry any more. */
  record OwnedBefore(String container, String migration) implements Record {}

  private LedgerCodec() {}

  static byte[] encode(Record record) {
    var bytes = new ByteArrayOutputStream(512);
    try (var out = new DataOutputStream(bytes)) {
      out.writeLong(0); // length and checksum, set below
      switch (record) {
        case Identity(var id) -> {
          out.writeByte(1);
          string(out, id);
        }
        case Opened(var incarnation) -> {
          out.writeByte(2);
          out.writeLong(incarnation);
        }
        case Entry(var entry) -> {
          out.writeByte(3);
          entry(out, entry);
        }
        case OwnedBefore(var container, var migration) -> {
          out.writeByte(4);
          string(out, container);
          string(out, migration);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e); // a byte array does not fail
    }
    var result = bytes.toByteArray();
    var length = result.length - HEADER_BYTES;
    if (length > BODY_BYTES_MAX) {
      throw new LedgerException("A ledger record of " + length
          + " bytes is too long; the environment of the container must be smaller.", true);
    }
    ByteBuffer.wrap(result).putInt(length).putInt(checksum(result, 0, length));
    return result;
  }

  /** Length of the whole record that begins at {@code offset}, or -1 when there is no sound one. */
  static int soundLength(byte[] file, int offset) {
    if (file.length - offset < HEADER_BYTES) {
      return -1;
    }
    var header = ByteBuffer.wrap(file, offset, HEADER_BYTES);
    var length = header.getInt();
    var stored = header.getInt();
    if (length < 1 || length > BODY_BYTES_MAX || length > file.length - offset - HEADER_BYTES) {
      return -1;
    }
    return checksum(file, offset, length) == stored ? HEADER_BYTES + length : -1;
  }

  /** Decodes the record at {@code offset}, which {@link #soundLength} has found sound. */
  static Record decode(byte[] file, int offset, int recordLength) {
    var bytes = new ByteArrayInputStream(file, offset + HEADER_BYTES, recordLength - HEADER_BYTES);
    try (var in = new DataInputStream(bytes)) {
      var type = in.readUnsignedByte();
      return switch (type) {
        case 1 -> new Identity(string(in));
        case 2 -> new Opened(in.readLong());
        case 3 -> new Entry(entry(in));
        case 4 -> new OwnedBefore(string(in), string(in));
        default -> throw new LedgerException(
            "The ledger has a record of type " + type
                + ", which a newer release of Gantry must have written; use that release.", true);
      };
    } catch (IOException e) {
      throw new LedgerException(
          "A ledger record has a sound checksum and cannot be decoded; a newer release of Gantry may have written it.", true, e);
    }
  }

  private static int checksum(byte[] bytes, int offset, int length) {
    var crc = new CRC32C();
    crc.update(bytes, offset, 4);
    crc.update(bytes, offset + HEADER_BYTES, length);
    return (int) crc.getValue();
  }

  private static void entry(DataOutputStream out, LedgerEntry entry) throws IOException {
    string(out, entry.container());
    out.writeLong(entry.epoch());
    out.writeByte(number(entry.status()));
    string(out, entry.peer());
    string(out, entry.migration());
    string(out, entry.peerLedgerId());
    string(out, entry.digest());
    out.writeBoolean(entry.handle().isPresent());
    if (entry.handle().isPresent()) {
      var handle = entry.handle().get();
      string(out, handle.name());
      out.writeInt(handle.initPid());
      out.writeLong(handle.initStartTicks());
      string(out, handle.cgroup().toString());
      string(out, handle.directory().toString());
    }
    out.writeBoolean(entry.spec().isPresent());
    if (entry.spec().isPresent()) {
      var spec = entry.spec().get();
      out.writeInt(spec.command().size());
      for (var word : spec.command()) {
        string(out, word);
      }
      out.writeInt(spec.environment().size());
      for (var variable : new TreeMap<>(spec.environment()).entrySet()) {
        string(out, variable.getKey());
        string(out, variable.getValue());
      }
      string(out, spec.workingDirectory());
      // Behind what earlier releases have written, which ends here.
      if (spec.oci().isPresent()) {
        var oci = spec.oci().get();
        string(out, oci.runtime());
        string(out, oci.id());
        string(out, oci.bundle());
        out.writeBoolean(oci.adopt());
      } else if (!spec.network().isEmpty() || !spec.volumes().isEmpty()) {
        // No runtime is called that.
        string(out, "");
      }
      if (!spec.network().isEmpty() || !spec.volumes().isEmpty()) {
        string(out, spec.network());
      }
      if (!spec.volumes().isEmpty()) {
        out.writeInt(spec.volumes().size());
        for (var volume : spec.volumes()) {
          string(out, volume);
        }
      }
    }
  }

  private static LedgerEntry entry(DataInputStream in) throws IOException {
    var container = string(in);
    var epoch = in.readLong();
    var status = status(in.readUnsignedByte());
    var peer = string(in);
    var migration = string(in);
    var peerLedgerId = string(in);
    var digest = string(in);
    Optional<ContainerHandle> handle = Optional.empty();
    if (in.readBoolean()) {
      handle = Optional.of(
          new ContainerHandle(string(in), in.readInt(), in.readLong(), Path.of(string(in)), Path.of(string(in))));
    }
    Optional<CarriedSpec> spec = Optional.empty();
    if (in.readBoolean()) {
      var command = new ArrayList<String>();
      for (var left = in.readInt(); left > 0; left--) {
        command.add(string(in));
      }
      Map<String, String> environment = new TreeMap<>();
      for (var left = in.readInt(); left > 0; left--) {
        environment.put(string(in), string(in));
      }
      var workingDirectory = string(in);
      var runtime = in.available() == 0 ? "" : string(in);
      Optional<OciSpec> oci =
          runtime.isEmpty() ? Optional.empty() : Optional.of(new OciSpec(runtime, string(in), string(in), in.readBoolean()));
      var network = in.available() == 0 ? "" : string(in);
      var volumes = new ArrayList<String>();
      for (var left = in.available() == 0 ? 0 : in.readInt(); left > 0; left--) {
        volumes.add(string(in));
      }
      spec = Optional.of(new CarriedSpec(command, environment, workingDirectory, oci, network, volumes));
    }
    return new LedgerEntry(container, epoch, status, peer, migration, peerLedgerId, digest, handle, spec);
  }

  private static int number(LedgerEntry.Status status) {
    return switch (status) {
      case OWNED -> 1;
      case ARRIVING -> 2;
      case HELD -> 3;
      case RELEASED -> 4;
      case GONE -> 5;
    };
  }

  private static LedgerEntry.Status status(int number) throws IOException {
    return switch (number) {
      case 1 -> LedgerEntry.Status.OWNED;
      case 2 -> LedgerEntry.Status.ARRIVING;
      case 3 -> LedgerEntry.Status.HELD;
      case 4 -> LedgerEntry.Status.RELEASED;
      case 5 -> LedgerEntry.Status.GONE;
      default -> throw new IOException("status " + number);
    };
  }

  private static void string(DataOutputStream out, String text) throws IOException {
    var bytes = text.getBytes(StandardCharsets.UTF_8);
    out.writeInt(bytes.length);
    out.write(bytes);
  }

  private static String string(DataInputStream in) throws IOException {
    var length = in.readInt();
    if (length < 0 || length > in.available()) {
      throw new IOException("string of " + length + " bytes");
    }
    return new String(in.readNBytes(length), StandardCharsets.UTF_8);
  }
}
