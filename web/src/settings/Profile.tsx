import { useQuery } from '@tanstack/react-query';
import { useUser } from '../auth/AuthProvider';
import { useAction } from '../lib/hooks';
import { useModels } from '../lib/models';
import { rows, supabase } from '../lib/supabase';
import { Failure, Field, Loading, Switch } from '../ui/parts';

interface ProfileRow {
  skill_level: string | null;
  communication_style: string | null;
  preferred_agent: string | null;
  preferred_model: string | null;
  is_profiling_enabled: boolean;
  allows_training: boolean;
}

const NONE: ProfileRow = { skill_level: null, communication_style: null, preferred_agent: null, preferred_model: null, is_profiling_enabled: false, allows_training: false };
const CHOICES = [
  { name: 'skill_level', label: 'Your experience', options: ['beginner', 'intermediate', 'advanced', 'expert'] },
  { name: 'communication_style', label: 'Length of answers', options: ['concise', 'balanced', 'detailed'] },
  { name: 'preferred_agent', label: 'Agent', options: ['auto', 'general', 'technical', 'research'] },
] as const;

/** The user's stated preferences, saved at once, and whether anything may be learned from their turns. */
export function Profile() {
  const user = useUser();
  const models = useModels();
  const { run, isBusy } = useAction();
  const found = useQuery({
    queryKey: ['profile'],
    queryFn: async () => {
      const query = supabase.from('user_llm_profiles').select(Object.keys(NONE).join(',')).eq('user_id', user.id);
      return (await rows<ProfileRow[]>(query))[0] ?? NONE;
    },
  });
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failure error={found.error} onRetry={() => void found.refetch()} />;
  const profile = found.data;
  const change = (changes: Partial<ProfileRow>) =>
    run(() => rows(supabase.from('user_llm_profiles').upsert({ ...profile, ...changes, user_id: user.id })), { done: 'Saved.', reads: ['profile'] });
  return (
    <div className="card">
      <div className="fields fields-four">
        {CHOICES.map(({ name, label, options }) => (
          <Field key={name} label={label}>
            {(id) => (
              <select id={id} value={profile[name] ?? ''} disabled={isBusy} onChange={(event) => void change({ [name]: event.target.value || null })}>
                <option value="">no preference</option>
                {options.map((each) => (
                  <option key={each}>{each}</option>
                ))}
              </select>
            )}
          </Field>
        ))}
        <Field label="Model">
          {(id) => (
            <select id={id} value={profile.preferred_model ?? ''} disabled={isBusy} onChange={(event) => void change({ preferred_model: event.target.value || null })}>
              <option value="">no preference</option>
              {models.data?.models.map((each) => (
                <option key={each.model_key} value={each.model_key}>
                  {each.model_name}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <Switch label="Learn from my questions" isOn={profile.is_profiling_enabled} isDisabled={isBusy} onChange={(isOn) => void change({ is_profiling_enabled: isOn })} />
      <p className="hint">Off by default. Switched off, everything that was learned is deleted at once; your preferences above stay.</p>
      <Switch label="Allow training with my questions" isOn={profile.allows_training} isDisabled={isBusy} onChange={(isOn) => void change({ allows_training: isOn })} />
      <p className="hint">Off by default. Switched on, the operator may train models with the redacted text of your turns. The menu of a conversation keeps that one out.</p>
    </div>
  );
}
