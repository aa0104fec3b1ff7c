package io.gantry.checkpoint.image;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.gantry.checkpoint.CheckpointException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Fields of CRIU's messages that we do not know. Those that mean nothing for what is restored are listed here; any other one that is
 * set is state that would be lost, so it is refused.
 */
final class CriuFields {
  private static final Map<String, Set<Integer>> HARMLESS =
      Map.ofEntries(
          // root_cg_set, pre_dump_mode, tcp_close, network_lock_method, plugins_entry, dump_criu_run_id
          Map.entry("inventory_entry", Set.of(5, 9, 10, 11, 12, 13, 14)),
          // tls: slots of set_thread_area(2), which 64-bit programs do not use
          Map.entry("thread_info_x86", Set.of(4)),
          // padding
          Map.entry("user_x86_fpregs_entry", Set.of(11, 12)),
          // cet: checked by what it says
          Map.entry("user_x86_xsave_entry", Set.of(9)),
          // cg_set, loginuid, blk_sigset_extended
          Map.entry("task_core_entry", Set.of(9, 13, 20)),
          // blk_sigset_extended, cg_set
          Map.entry("thread_core_entry", Set.of(14, 16)),
          // lsm_profile, lsm_sockcreate
          Map.entry("creds_entry", Set.of(15, 16)),
          // compat_sigaction, mask_extended
          Map.entry("sa_entry", Set.of(5, 6)),
          // build_id, checksum and what it was made with
          Map.entry("reg_file_entry", Set.of(11, 12, 13, 14)),
          // dev, inode and pos of what is watched, which its number says
          Map.entry("eventpoll_tfd_entry", Set.of(5, 6, 7)),
          // xattr_security_selinux
          Map.entry("fdinfo_entry", Set.of(5)));

  private CriuFields() {}

  /** @return the same messages */
  static <T extends Message> List<T> check(Path file, List<T> messages) {
    messages.forEach(message -> check(file, message));
    return messages;
  }

  private static void check(Path file, Message message) {
    var name = message.getDescriptorForType().getName();
    message
        .getUnknownFields()
        .asMap()
        .forEach(
            (number, field) -> {
              boolean zero =
                  field.getVarintList().stream().allMatch(value -> value == 0)
                      && field.getFixed32List().stream().allMatch(value -> value == 0)
                      && field.getFixed64List().stream().allMatch(value -> value == 0)
                      && field.getLengthDelimitedList().isEmpty();
              if (!zero && !HARMLESS.getOrDefault(name, Set.of()).contains(number)) {
                throw new CheckpointException(
                    file + " holds state that cannot be carried from CRIU's images: field " + number + " of " + name
                        + "; restore it with CRIU");
              }
            });
    for (Map.Entry<FieldDescriptor, Object> field : message.getAllFields().entrySet()) {
      if (field.getKey().getJavaType() != FieldDescriptor.JavaType.MESSAGE) {
        continue;
      }
      if (field.getValue() instanceof List<?> list) {
        list.forEach(inner -> check(file, (Message) inner));
      } else {
        check(file, (Message) field.getValue());
      }
    }
  }
}
