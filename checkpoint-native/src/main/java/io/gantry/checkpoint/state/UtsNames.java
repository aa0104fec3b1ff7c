package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.utsns_entry;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.charset.StandardCharsets;

/** Host and domain name of the container. */
final class UtsNames {
  /** {@code struct new_utsname}: six fields of 65 bytes ({@code linux/utsname.h}). */
  private static final int FIELD_BYTES = 65;
  private static final int NODE_NAME = 1;
  private static final int DOMAIN_NAME = 5;

  private UtsNames() {}

  static utsns_entry capture(RemoteTask task) {
    var batch = task.newBatch();
    long at = batch.reserve(6 * FIELD_BYTES);
    batch.call("uname", SyscallNumber.UNAME, at);
    task.run(batch);
    byte[] names = batch.read(at, 6 * FIELD_BYTES);
    return utsns_entry.newBuilder().setNodename(field(names, NODE_NAME)).setDomainname(field(names, DOMAIN_NAME)).build();
  }

  private static String field(byte[] names, int index) {
    int from = index * FIELD_BYTES;
    int end = from;
    while (names[end] != 0) {
      end++;
    }
    return new String(names, from, end - from, StandardCharsets.UTF_8);
  }

  static void restore(RemoteTask task, utsns_entry names) {
    var batch = task.newBatch();
    byte[] node = names.getNodename().getBytes(StandardCharsets.UTF_8);
    byte[] domain = names.getDomainname().getBytes(StandardCharsets.UTF_8);
    batch.call("sethostname", SyscallNumber.SETHOSTNAME, batch.bytes(node), node.length);
    batch.call("setdomainname", SyscallNumber.SETDOMAINNAME, batch.bytes(domain), domain.length);
    task.run(batch);
  }
}
