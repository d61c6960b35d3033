-- Purpose: whoever was added to a conversation may leave it.
-- Affects: the delete policy of public.conversation_members
-- Access: the owner removes others; a member removes themselves; nobody removes the owner.

drop policy conversation_members_delete_owner on public.conversation_members;
create policy conversation_members_delete_owner_or_self on public.conversation_members for delete to authenticated
  using (role = 'member' and (user_id = (select auth.uid()) or exists (
    select 1 from public.llm_conversations as c where c.id = conversation_id and c.user_id = (select auth.uid()))));
comment on policy conversation_members_delete_owner_or_self on public.conversation_members is
  'The owner removes others, never their own row; everybody else may leave. What they said stays with the conversation.';
